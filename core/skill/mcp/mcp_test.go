package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/internal/mcpstandin"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// The test's own program is the server, too.
const serveEnv = "MCP_TEST_SERVES"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		mcpstandin.Run()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// standIn is the server in a scenario, on the host.
func standIn(t *testing.T, scenario string) Server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Server{
		MCPServer: llm.MCPServer{Name: "s", Command: []string{self}, Env: map[string]string{serveEnv: "1", mcpstandin.Env: scenario}},
		Host:      true, Dir: t.TempDir(),
	}
}

func open(t *testing.T, s Server) *Client {
	t.Helper()
	c, err := Open(t.Context(), s, Ways{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func call(t *testing.T, c *Client, tool, arguments string) (Result, error) {
	t.Helper()
	return c.Call(t.Context(), tool, json.RawMessage(arguments), time.Minute)
}

func names(tools []Tool) string {
	var all []string
	for _, tool := range tools {
		all = append(all, tool.Name)
	}
	return strings.Join(all, " ")
}

func TestToolsOfAServer(t *testing.T) {
	c := open(t, standIn(t, ""))
	tools, notes := c.Tools(t.Context())
	if got := names(tools); got != "add change die echo env fail hang image long refuse whereami" || len(notes) > 0 {
		t.Errorf("tools %q, notes %q", got, notes)
	}
	if !strings.Contains(string(tools[0].Schema), `"the first number"`) || tools[0].Description != "Adds two numbers." {
		t.Errorf("%s: %s", tools[0].Description, tools[0].Schema)
	}
	if got := c.Instructions(); got != "Use add for sums." {
		t.Errorf("instructions %q", got)
	}
	for _, step := range []struct {
		tool, arguments, want string
		failed                bool
	}{
		{"add", `{"a": 2, "b": 3}`, "5", false},
		{"fail", `{}`, "the tool has failed", true},
		{"add", `{"a": "two"}`, "validating", true}, // the server holds arguments against its schema
		{"image", `{}`, "look:\n[an image, image/png, " + strconv.Itoa(len(mcpstandin.Image)) + " bytes, which is not shown]\n[a resource: file:///x x]\nwhy", false},
	} {
		got, err := call(t, c, step.tool, step.arguments)
		if err != nil || got.Error != step.failed || !strings.Contains(got.Text, step.want) {
			t.Errorf("%s %s: %+v, %v", step.tool, step.arguments, got, err)
		}
	}
	if _, err := call(t, c, "refuse", `{}`); err == nil || !strings.Contains(err.Error(), "MCP server s answers with an error: not today") {
		t.Errorf("an error of the protocol: %v", err)
	}
	if _, err := call(t, c, "none", `{}`); err == nil || !strings.Contains(err.Error(), "unknown tool") {
		t.Errorf("a tool that is not there: %v", err)
	}
	if got, err := call(t, c, "add", `{"a": 1, "b": 1}`); err != nil || got.Text != "2" {
		t.Errorf("after all that: %+v, %v", got, err)
	}
}

func TestAServerOnTheHostKnowsLittle(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-of-the-user")
	s := standIn(t, "")
	s.Env["GIVEN"] = "yes"
	got, err := call(t, open(t, s), "env", `{}`)
	if err != nil || strings.Contains(got.Text, "sk-of-the-user") || !strings.Contains(got.Text, "GIVEN=yes") || !strings.Contains(got.Text, "PATH=") {
		t.Errorf("%v\n%s", err, got.Text)
	}
}

func TestServersThatAreNotReady(t *testing.T) {
	for scenario, want := range map[string]string{
		"dead":     "MCP server s is not ready: it ended with status 7: it printed: no configuration found\nsorry",
		"nonsense": "it printed more than 1048576 bytes that are no messages of the protocol",
		"endless":  "it sent a line of more than 4194304 bytes",
		"wrong":    "MCP server s is not ready: ",
		"refuses":  "I do not like you",
		"many":     "it has more than 128 tools",
		"beggar":   "it asked more than 10000 times for something",
	} {
		t.Run(scenario, func(t *testing.T) {
			_, err := Open(t.Context(), standIn(t, scenario), Ways{})
			if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errdef.ErrUnavailable) || errdef.Remedy(err) == "" {
				t.Errorf("%v\nremedy: %s", err, errdef.Remedy(err))
			}
			if err != nil && len(err.Error()) > 2*tailBytes {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	t.Run("no program", func(t *testing.T) {
		s := standIn(t, "")
		s.Command = []string{"no-such-server"}
		_, err := Open(t.Context(), s, Ways{})
		if !errors.Is(err, errdef.ErrNotFound) || !strings.Contains(err.Error(), `there is no program "no-such-server" on the host`) {
			t.Error(err)
		}
	})
	for _, scenario := range []string{"mute", "deaf"} {
		t.Run(scenario, func(t *testing.T) {
			why := errors.New("enough of it")
			ctx, cancel := context.WithCancelCause(t.Context())
			go cancel(why)
			if _, err := Open(ctx, standIn(t, scenario), Ways{}); !errors.Is(err, why) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

func TestAServerThatIsSlowIsGivenUp(t *testing.T) {
	defer func(d time.Duration) { startTime = d }(startTime)
	startTime = 200 * time.Millisecond
	for _, scenario := range []string{"mute", "deaf"} {
		_, err := Open(t.Context(), standIn(t, scenario), Ways{})
		if err == nil || !strings.Contains(err.Error(), "it was not ready after 200ms") || errdef.Remedy(err) == "" {
			t.Errorf("%s: %v", scenario, err)
		}
	}
}

func TestOddServersThatWork(t *testing.T) {
	for _, scenario := range []string{"banner", "chatter", "gossip"} {
		t.Run(scenario, func(t *testing.T) {
			if got, err := call(t, open(t, standIn(t, scenario)), "add", `{"a": 1, "b": 2}`); err != nil || got.Text != "3" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestAServerThatDiesInMidCall(t *testing.T) {
	c := open(t, standIn(t, ""))
	for _, tool := range []string{"die", "add"} {
		_, err := call(t, c, tool, `{}`)
		if err == nil || !strings.Contains(err.Error(), "MCP server s is lost: it ended with status 3: it printed: I am dying") {
			t.Errorf("%s: %v", tool, err)
		}
	}
}

func TestACallThatHangs(t *testing.T) {
	s := standIn(t, "")
	s.Timeout = 50 * time.Millisecond
	c := open(t, s)
	if _, err := call(t, c, "hang", `{}`); err == nil || err.Error() != "MCP server s did not answer within 50ms" {
		t.Errorf("%v", err)
	}
	c.server.Timeout = 0
	if got, err := call(t, c, "add", `{"a": 1, "b": 2}`); err != nil || got.Text != "3" {
		t.Errorf("the next call: %+v, %v", got, err)
	}
	why := errors.New("ctrl-c")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	if _, err := c.Call(ctx, "hang", json.RawMessage(`{}`), time.Minute); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestToolsThatChange(t *testing.T) {
	c := open(t, standIn(t, ""))
	c.Tools(t.Context())
	if _, err := call(t, c, "change", `{}`); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for !c.changed.Load() && time.Now().Before(deadline) {
		runtime.Gosched() // the notice may come after the answer
	}
	tools, notes := c.Tools(t.Context())
	if got := names(tools); strings.Contains(got, "fail") || !strings.Contains(got, "new") {
		t.Errorf("tools %s", got)
	}
	if got := strings.Join(notes, "; "); !strings.Contains(got, "has new now") || !strings.Contains(got, "has fail no more") {
		t.Errorf("notes %q", got)
	}
}

func TestWhatAServerSaysIsBounded(t *testing.T) {
	tools, notes := open(t, standIn(t, "huge")).Tools(t.Context())
	if len(tools) != 1 || len(tools[0].Description) > maxDescription || !utf8.ValidString(tools[0].Description) {
		t.Errorf("%d tools, %+v", len(tools), tools)
	}
	if len(notes) != 1 || notes[0] != `its tool "schema" is left out: the schema of its arguments is larger than 32768 bytes` {
		t.Errorf("notes %q", notes)
	}
}

func TestOnlySomeTools(t *testing.T) {
	s := standIn(t, "")
	s.Tools = []string{"add", "subtract"}
	tools, notes := open(t, s).Tools(t.Context())
	if names(tools) != "add" || len(notes) != 1 || notes[0] != `it has no tool "subtract"` {
		t.Errorf("tools %s, notes %q", names(tools), notes)
	}
}

// A server that ignores the end of its input is killed, and what it has left behind with it.
func TestNothingOfAServerIsLeft(t *testing.T) {
	s := standIn(t, "child")
	s.Env[mcpstandin.ChildEnv] = filepath.Join(s.Dir, "pid")
	c, err := Open(t.Context(), s, Ways{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.Env[mcpstandin.ChildEnv])
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); runtime.Gosched() {
		text, err = os.ReadFile(s.Env[mcpstandin.ChildEnv])
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for deadline := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives", pid)
		}
		if stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); strings.Contains(string(stat), ") Z ") {
			break // nobody here reaps it, but dead it is
		}
	}
}

// A server at an address is reached through the sandbox, or from the host where the file says so.
func TestServerAtAnAddress(t *testing.T) {
	var agents []string
	handler := mcpstandin.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents = append(agents, r.Header.Get("Authorization"))
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	dialled := 0
	way := Through(func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled++
		return (&net.Dialer{}).DialContext(ctx, network, strings.Replace(address, "127.0.0.1:9", server.Listener.Addr().String(), 1))
	})
	for _, s := range []Server{
		{MCPServer: llm.MCPServer{Name: "far", URL: "http://127.0.0.1:9/mcp"}},
		{MCPServer: llm.MCPServer{Name: "far", URL: server.URL + "/mcp"}, Host: true, Headers: map[string]string{"Authorization": "Bearer x"}},
	} {
		c, err := Open(t.Context(), s, Ways{Dial: way})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := call(t, c, "add", `{"a": 1, "b": 2}`); err != nil || got.Text != "3" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := call(t, c, "refuse", `{}`); err == nil || !strings.Contains(err.Error(), "not today") {
			t.Errorf("%v", err)
		}
		c.Close()
	}
	if dialled == 0 || agents[0] != "" || agents[len(agents)-1] != "Bearer x" {
		t.Errorf("dialled %d times with %q", dialled, agents)
	}
}

func TestAddressesWithoutAServer(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example", http.StatusTemporaryRedirect)
		},
		"401":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) },
		"page": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(serve)
			defer server.Close()
			_, err := Open(t.Context(), Server{MCPServer: llm.MCPServer{Name: "far", URL: server.URL}, Host: true}, Ways{})
			if !errors.Is(err, errdef.ErrUnavailable) || errdef.Remedy(err) == "" {
				t.Errorf("%v", err)
			}
			t.Log(err)
		})
	}
	_, err := Open(t.Context(), Server{MCPServer: llm.MCPServer{Name: "far", URL: "http://x/"}}, Ways{Dial: Through(func(context.Context, string, string) (net.Conn, error) {
		return nil, errdef.New(errdef.ErrPermission, "no rule allows x:80")
	})})
	if err == nil || !strings.Contains(err.Error(), "no rule allows x:80") {
		t.Error(err)
	}
}

// The sandbox's way to a program is a Launch of its own.
func TestALaunchThatFails(t *testing.T) {
	s := standIn(t, "")
	s.Host = false
	_, err := Open(t.Context(), s, Ways{Sandbox: func(context.Context, Server, sandbox.IO) (sandbox.Exit, error) {
		return sandbox.Exit{}, errdef.New(errdef.ErrNotFound, "run server: no such file")
	}})
	if !errors.Is(err, errdef.ErrNotFound) || !strings.Contains(err.Error(), "MCP server s is not ready: run server: no such file") {
		t.Error(err)
	}
}
