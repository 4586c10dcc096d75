package run_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// vm is a world of VMs with a server of this machine, whose address the example takes as a variable.
func vm(t *testing.T, variable string, handler http.HandlerFunc) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("a VM is too long for -short")
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &world{t: t, backend: "qemu", images: testvm.Require(t).Cache, extra: map[string]string{variable: strings.TrimPrefix(server.URL, "http://")}}
}

// The agent of hackernews reads an API in the guest, and what it brings back is what the server said.
func TestHackernewsReadsItsAPI(t *testing.T) {
	titles := map[string]string{"5": "A micro-VM in 5 ms", "3": "Rings without locks", "9": "Why tar is still here"}
	w := vm(t, "server", func(out http.ResponseWriter, r *http.Request) {
		id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v0/item/"), ".json")
		switch {
		case r.URL.Path == "/v0/topstories.json":
			fmt.Fprint(out, "[ 5, 3, 9, 1 ]")
		case titles[id] != "":
			fmt.Fprintf(out, `{"by":"somebody","id":%s,"title":%q,"type":"story"}`, id, titles[id])
		default:
			http.NotFound(out, r)
		}
	})
	w.extra["api"] = "http://hn/v0"
	result, err := w.execute(t.Context(), w.file("../../examples/hackernews.hcl"))
	if want := "A micro-VM in 5 ms\nRings without locks\nWhy tar is still here\n"; err != nil || result.Output != want {
		t.Errorf("%v: %q", err, result.Output)
	}
}

// The token of code_review is in the second stage's sandbox, and nowhere in the first's.
func TestCodeReviewHasItsTokenInTheSecondStageOnly(t *testing.T) {
	var authorization, review string
	w := vm(t, "forge", func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		authorization, review = r.Header.Get("Authorization"), string(body)
		fmt.Fprint(out, "accepted")
	})
	load := w.file("../../examples/code_review.hcl")
	result, err := w.execute(t.Context(), func(h *pluginhost.Host) *plan.Plan {
		p := load(h)
		for _, s := range p.Sandboxes {
			if hasIt := s.Env["REVIEW_TOKEN"] != "" || len(s.Exposed) > 0; hasIt != (s.Name == "publisher") {
				t.Errorf("sandbox %s: environment %v, exposed %v", s.Name, s.Env, s.Exposed)
			}
		}
		return p
	})
	if err != nil || result.Outputs["posted"] != "accepted" || authorization != "Bearer offline" || !strings.HasPrefix(review, "cache.go: ") {
		t.Errorf("%v: %v; the server got %q and %q", err, result.Outputs, authorization, review)
	}
}
