package pluginhost

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// TestReattach uses a plugin that was started by hand, twice, as a person with a debugger does.
func TestReattach(t *testing.T) {
	house := newHouse(t)
	cmd := exec.Command(install(t, house.builtin, "good"), "debug")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var value string
	lines := bufio.NewScanner(out)
	for value == "" && lines.Scan() {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "export "+sdk.EnvReattach+"='"); ok {
			value = strings.TrimSuffix(rest, "'")
		}
	}
	for range 2 {
		host := house.host(t, func(o *Options) { o.Reattach = value })
		inst, err := host.Start(t.Context(), Request{Kind: base.KindLLM, Name: "good"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ask(t.Context(), inst, "there?"); got != "there?" || err != nil {
			t.Errorf("answer %q, %v", got, err)
		}
		if err := inst.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ended with %v", err)
	}
	_, err = house.host(t, func(o *Options) { o.Reattach = value }).Start(t.Context(), Request{Kind: base.KindLLM, Name: "good"})
	wantErr(t, err, "", "cannot be reached")
}

func TestReattachIsNoJSON(t *testing.T) {
	_, err := New(Options{Reattach: "llm-good"})
	wantErr(t, err, "", sdk.EnvReattach+" holds no JSON object")
}
