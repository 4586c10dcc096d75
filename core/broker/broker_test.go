package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/core/price"
	"github.com/voidbox-run/voidbox/internal/modelserver"
)

const canary = "sk-canary-7f3a9c21"

// A broker is a process: this test program, started again.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == Command {
		if err := Serve(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start runs a broker and returns it with a client that reaches it as a guest does, and what it reported.
func start(t *testing.T) (*Broker, *http.Client, *heard) {
	t.Helper()
	h := &heard{told: make(chan Report, 64)}
	b, err := Start(t.Context(), Config{Program: os.Args[0], Heard: h.hear})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close(context.Background())
		if _, err := os.Stat(filepath.Dir(b.Socket)); err == nil {
			t.Error("its directory is left behind")
		}
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.Socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return b, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, h
}

type heard struct{ told chan Report }

func (h *heard) hear(r Report) { h.told <- r }

func (h *heard) until(t *testing.T, what string, is func(Report) bool) Report {
	t.Helper()
	for {
		select {
		case r := <-h.told:
			if is(r) {
				return r
			}
		case <-t.Context().Done():
			t.Fatalf("nothing was reported of %s", what)
		}
	}
}

func ask(t *testing.T, c *http.Client, method, path, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://broker"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	req.Header.Set("Cookie", "a=b")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, h := range []http.Header{resp.Header, resp.Trailer} {
		for name, values := range h {
			text = append(text, fmt.Sprintf("\n%s: %s", name, values)...)
		}
	}
	return resp.StatusCode, string(text)
}

func grant(t *testing.T, b *Broker, upstream string, change func(*Grant)) Grant {
	t.Helper()
	g := Grant{Token: NewToken(), Upstream: upstream, Header: "x-api-key", Key: canary}
	if change != nil {
		change(&g)
	}
	if err := b.Grant(g); err != nil {
		t.Fatal(err)
	}
	return g
}

// model is a server that speaks the Messages API to who has the key.
func model(t *testing.T, key string) *httptest.Server {
	t.Helper()
	s, err := modelserver.NewServer(modelserver.Config{Key: key, Rules: []modelserver.Rule{{Match: ".*", Say: "hello"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server
}

const message = `{"model":"claude-opus-5-5","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}]}`

func TestSwapsTheKey(t *testing.T) {
	b, c, h := start(t)
	upstream := model(t, canary)
	g := grant(t, b, upstream.URL, nil)
	status, text := ask(t, c, http.MethodPost, "/v1/messages?beta=true", g.Token, message)
	if status != http.StatusOK || !strings.Contains(text, "message_stop") {
		t.Fatalf("%d %s", status, text)
	}
	r := h.until(t, "what was spent", func(r Report) bool { return r.Spent != nil })
	if r.Token != g.Token || r.Spent.Requests != 1 || r.Spent.Usage.OutputTokens == 0 || r.Spent.Uncounted {
		t.Errorf("reported %+v", r.Spent)
	}
	spent, err := b.Revoke(g.Token)
	if err != nil || spent != *r.Spent {
		t.Errorf("revoked: %+v, %v", spent, err)
	}
	if status, _ := ask(t, c, http.MethodPost, "/v1/messages", g.Token, message); status != http.StatusUnauthorized {
		t.Errorf("after its end, a token is worth a status of %d", status)
	}
}

func TestGuestReachesModelsOnly(t *testing.T) {
	b, c, _ := start(t)
	var mu sync.Mutex
	var asked []string
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path)
	}))
	t.Cleanup(upstream.Close)
	g := grant(t, b, upstream.URL+"/base/v1", nil)
	for _, forbidden := range []string{
		"GET /v1/messages", "POST /v1/files", "GET /v1/organizations/me", "POST /v1/messages/batches", "POST /v1/messages/../files", "POST //v1/messages",
		"POST /v1/messages%2f..%2ffiles", "DELETE /v1/models/x", "CONNECT /v1/messages", "POST /", "POST http://elsewhere.example/v1/files", "PUT /v1/messages",
	} {
		method, path, _ := strings.Cut(forbidden, " ")
		if status := raw(t, b.Socket, method, path, g.Token); status < 400 {
			t.Errorf("%s: %d", forbidden, status)
		}
	}
	for _, token := range []string{"", canary, NewToken(), tokenPrefix, g.Token[:len(g.Token)-1], g.Token + "x"} {
		if status, _ := ask(t, c, http.MethodPost, "/v1/messages", token, message); status != http.StatusUnauthorized {
			t.Errorf("token %q: %d", token, status)
		}
	}
	mu.Lock()
	if len(asked) != 0 {
		t.Errorf("the upstream was asked for %q", asked)
	}
	mu.Unlock()
	// Another host in the request line is not where it goes.
	if status := raw(t, b.Socket, "POST", "http://elsewhere.example/v1/messages", g.Token); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || asked[0] != "POST /base/v1/messages" {
		t.Errorf("the upstream was asked for %q", asked)
	}
}

// raw sends a request line as it is.
func raw(t *testing.T, socket, method, target, token string) int {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method, target, token)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestKeyNeverComesBack(t *testing.T) {
	b, c, h := start(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if v := r.Header.Get(name); strings.Contains(v, tokenPrefix) || name == "Cookie" {
				t.Errorf("the upstream got %s: %s", name, v)
			}
		}
		if r.Header.Get("Upgrade") != "" {
			t.Error("the upstream is asked for another protocol")
		}
		w.Header().Set("Trailer", "X-Last")
		defer w.Header().Set("X-Last", canary)
		defer w.Header().Set(http.TrailerPrefix+"X-Unannounced", canary)
		w.Header().Set("X-Echo", canary)
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("Location", "https://elsewhere.example/"+canary)
		w.WriteHeader(http.StatusFound)
		for i := range canary { // in pieces, so that no single one is the key
			io.WriteString(w, canary[i:i+1])
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, " sk-canary- and the rest "+canary+canary[:9])
	}))
	t.Cleanup(upstream.Close)
	g := grant(t, b, upstream.URL, func(g *Grant) { g.Header, g.Prefix = "authorization", "Bearer " })
	status, text := ask(t, c, http.MethodPost, "/v1/messages", g.Token, message)
	if status != http.StatusFound || strings.Contains(text, canary) || strings.Contains(text, "session=1") || strings.Contains(text, "elsewhere") {
		t.Errorf("%d %s", status, text)
	}
	if !strings.Contains(text, " sk-canary- and the rest ") || !strings.Contains(text, canary[:9]) {
		t.Errorf("what is not the key is gone: %s", text)
	}
	h.until(t, "the redirection", func(r Report) bool { return strings.Contains(r.Trouble, "elsewhere.example") })
}

func TestStreamsAtOnce(t *testing.T) {
	b, c, _ := start(t)
	more := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "data: second\n\n")
	}))
	t.Cleanup(upstream.Close)
	g := grant(t, b, upstream.URL, nil)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://broker/v1/responses", strings.NewReader("{}"))
	req.Header.Set("Authorization", "Bearer "+g.Token)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "data: first" {
		t.Fatalf("first line %q", lines.Text())
	}
	close(more)
	for lines.Scan() && lines.Text() != "data: second" {
	}
	if lines.Text() != "data: second" {
		t.Errorf("last line %q, %v", lines.Text(), lines.Err())
	}
}

func TestBudgets(t *testing.T) {
	known := map[string]price.Price{"claude-opus-5-5": {Rates: price.Rates{Input: 1e6, Output: 1e6}}}
	for name, c := range map[string]struct {
		budget  Budget
		prices  map[string]price.Price
		answer  string
		limit   Limit
		refused string
	}{
		"tokens":              {Budget{Tokens: 15}, nil, `{"usage":{"input_tokens":10,"output_tokens":5}}`, LimitTokens, "15 tokens"},
		"dollars":             {Budget{USD: 2}, known, `{"model":"claude-opus-5-5-20261001","usage":{"input_tokens":1,"output_tokens":1}}`, LimitUSD, "$2"},
		"unknown price":       {Budget{USD: 2}, known, `{"model":"other","usage":{"input_tokens":1,"output_tokens":1}}`, "", "nobody knows the price"},
		"silent upstream":     {Budget{Tokens: 1e6}, nil, `{"model":"claude-opus-5-5"}`, "", "does not say how many tokens"},
		"lies are not sums":   {Budget{Tokens: 15}, nil, `{"usage":{"input_tokens":-5,"output_tokens":5}}`, "", "does not say how many tokens"},
		"cached tokens count": {Budget{Tokens: 15}, nil, `{"usage":{"input_tokens":1,"cache_read_input_tokens":20}}`, LimitTokens, "15 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			b, client, h := start(t)
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, c.answer)
			}))
			t.Cleanup(upstream.Close)
			g := grant(t, b, upstream.URL, func(g *Grant) { g.Budget, g.Prices = c.budget, c.prices })
			if status, text := ask(t, client, http.MethodPost, "/v1/messages", g.Token, "{}"); status != http.StatusOK {
				t.Fatalf("%d %s", status, text)
			}
			if r := h.until(t, "the end of the budget", func(r Report) bool { return r.Over != "" }); r.Limit != c.limit {
				t.Errorf("limit %q, want %q", r.Limit, c.limit)
			}
			status, text := ask(t, client, http.MethodPost, "/v1/messages", g.Token, "{}")
			if status != http.StatusBadRequest || !strings.Contains(text, c.refused) {
				t.Errorf("%d %s", status, text)
			}
		})
	}
}

// A guest that hangs up before the end of a stream has read what it has read.
func TestHangingUpCosts(t *testing.T) {
	b, c, h := start(t)
	gone := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\ndata: %s\n\n", strings.Repeat("x", 3000))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(upstream.Close)
	g := grant(t, b, upstream.URL, func(g *Grant) { g.Budget.Tokens = 500 })
	ctx, hangUp := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://broker/v1/messages", strings.NewReader("{}"))
	req.Header.Set("X-Api-Key", g.Token)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 3000)); err != nil {
		t.Fatal(err)
	}
	hangUp()
	resp.Body.Close()
	<-gone
	r := h.until(t, "what was spent", func(r Report) bool { return r.Spent != nil })
	if r.Spent.Usage.InputTokens != 7 || r.Spent.Usage.OutputTokens < 1000 || r.Limit != LimitTokens {
		t.Errorf("reported %+v", r)
	}
}

func TestTroubleIsReported(t *testing.T) {
	b, c, h := start(t)
	refusing := model(t, "another")
	g := grant(t, b, refusing.URL, nil)
	if status, text := ask(t, c, http.MethodPost, "/v1/messages", g.Token, message); status != http.StatusUnauthorized || strings.Contains(text, canary) {
		t.Errorf("%d %s", status, text)
	}
	h.until(t, "the refusal", func(r Report) bool { return r.Token == g.Token && strings.Contains(r.Trouble, "refuses the key (401") })

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent.Close()
	g = grant(t, b, "http://"+silent.Addr().String(), nil)
	if status, _ := ask(t, c, http.MethodPost, "/v1/messages", g.Token, message); status != http.StatusBadGateway {
		t.Errorf("status %d", status)
	}
	h.until(t, "the upstream's absence", func(r Report) bool { return r.Token == g.Token && strings.Contains(r.Trouble, "refused") })
}

func TestBadGrants(t *testing.T) {
	b, _, _ := start(t)
	for name, change := range map[string]func(*Grant){
		"file":        func(g *Grant) { g.Upstream = "file:///etc" },
		"password":    func(g *Grant) { g.Upstream = "https://a:b@example.com" },
		"no header":   func(g *Grant) { g.Header = "" },
		"second line": func(g *Grant) { g.Key = "a\r\nHost: b" },
		"no token":    func(g *Grant) { g.Token = "" },
	} {
		g := Grant{Token: NewToken(), Upstream: "https://example.com", Header: "x-api-key", Key: canary}
		change(&g)
		if err := b.Grant(g); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A grant without a key leads to an upstream that wants none, and takes the placeholder off all the same.
func TestGrantWithoutAKey(t *testing.T) {
	b, client, _ := start(t)
	var seen http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() }))
	defer upstream.Close()
	g := grant(t, b, upstream.URL, func(g *Grant) { g.Key, g.Header = "", "" })
	if status, text := ask(t, client, http.MethodPost, "/v1/messages", g.Token, "{}"); status != http.StatusOK {
		t.Fatal(status, text)
	}
	for _, name := range credentialHeaders {
		if seen.Get(name) != "" {
			t.Errorf("%s: %s", name, seen.Get(name))
		}
	}
	if status, _ := ask(t, client, http.MethodPost, "/v1/files", g.Token, "{}"); status != http.StatusForbidden {
		t.Errorf("another call: %d", status)
	}
}

// The broker may not open files, and does not outlive who started it.
func TestConfinedAndMortal(t *testing.T) {
	b, _, _ := start(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("its status lacks %q", want)
		}
	}
	if environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", b.process.PID())); strings.Contains(string(environ), canary) {
		t.Error("the key is in its environment")
	}
	b.process.In.Close()
	<-b.Done()
	if err := b.Grant(Grant{Token: NewToken(), Upstream: "https://example.com", Header: "x-api-key", Key: canary}); err == nil {
		t.Error("a broker that has ended takes a grant")
	}
}

func TestKilledBrokerIsNoticed(t *testing.T) {
	b, _, _ := start(t)
	if err := syscall.Kill(b.process.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	if err := b.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it ended with %v", err)
	}
}

func TestProgramThatIsNoBroker(t *testing.T) {
	sleeping, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Program: sleeping}); err == nil {
		t.Error("it started")
	}
	if _, err := Start(t.Context(), Config{Program: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

func FuzzCounter(f *testing.F) {
	f.Add([]byte("data: {\"usage\":{\"input_tokens\":3}}\n\n"), true)
	f.Add([]byte(`{"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":9}}}`), false)
	f.Add([]byte("{\"prompt_eval_count\":1}\n{\"eval_count\":2,\"done\":true}\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, stream bool) {
		whole := &counter{stream: stream}
		whole.Write(text)
		want, told := whole.finish(true)
		pieces := &counter{stream: stream}
		for i := range text {
			pieces.Write(text[i : i+1])
		}
		if got, alike := pieces.finish(true); got != want || alike != told {
			t.Errorf("in pieces %+v %v, at once %+v %v", got, alike, want, told)
		}
		if _, err := json.Marshal(want); err != nil {
			t.Error(err)
		}
	})
}
