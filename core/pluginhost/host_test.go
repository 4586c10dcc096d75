package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// records keeps what is logged.
type records struct {
	mu   sync.Mutex
	list []slog.Record
	news chan struct{} // has an element when there is something new
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
	select {
	case r.news <- struct{}{}:
	default:
	}
	return nil
}
func (r *records) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *records) WithGroup(string) slog.Handler      { return r }

func (r *records) find(message string) (slog.Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.list {
		if strings.Contains(rec.Message, message) {
			return rec, true
		}
	}
	return slog.Record{}, false
}

// wait waits until message is logged.
func (r *records) wait(t *testing.T, message string) {
	t.Helper()
	enough := time.After(patience)
	for {
		if _, ok := r.find(message); ok {
			return
		}
		select {
		case <-r.news:
		case <-enough:
			t.Fatalf("%q was never logged", message)
		}
	}
}

// house is a directory for each way to find a plugin, and the log.
type house struct {
	builtin, third string
	log            *records
}

func newHouse(t *testing.T) *house {
	t.Helper()
	// Cleanups run last to first: every host of the house is closed by then.
	t.Cleanup(func() { goleak.VerifyNone(t) })
	return &house{builtin: t.TempDir(), third: t.TempDir(), log: &records{news: make(chan struct{}, 1)}}
}

// install puts the test binary into dir as an LLM plugin: a link for a plugin that is only executed, as it may be large.
func install(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, "voidbox-llm-"+name)
	if err := os.Link(must(os.Executable()), path); err != nil {
		copyFile(t, must(os.Executable()), path)
	}
	return path
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// host opens a host over the house. When the test ends, nothing of it may be left.
func (h *house) host(t *testing.T, change ...func(*Options)) *Host {
	t.Helper()
	runtime := must(os.MkdirTemp("", "ph"))
	opt := Options{
		BuiltinDir: h.builtin, Dirs: []string{h.third}, Logger: slog.New(h.log), RuntimeDir: runtime,
		StartTimeout: time.Minute,
	}
	for _, c := range change {
		c(&opt)
	}
	host, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := os.Remove(runtime); err != nil {
			t.Errorf("something is left: %v", err)
		}
	})
	return host
}

// plugin installs name as one of voidbox's own and starts it.
func (h *house) start(t *testing.T, name string, change ...func(*Options)) (*Instance, error) {
	t.Helper()
	install(t, h.builtin, name)
	return h.host(t, change...).Start(t.Context(), Request{Kind: base.KindLLM, Name: name})
}

func impatient(o *Options) { o.StartTimeout = 300 * time.Millisecond }

func ask(ctx context.Context, inst *Instance, system string) (string, error) {
	turn, err := inst.LLM().Complete(ctx, request(system), nil)
	if err != nil {
		return "", err
	}
	return turn.Message.Parts[0].Text, nil
}

func request(system string) llm.Request {
	return llm.Request{System: system, Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: "go on"}}}}}
}

// wantErr checks a sentence that a user reads, and that it says what to do.
func wantErr(t *testing.T, err error, reason, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not contain %q", err, text)
	}
	var e *errdef.Error
	if reason != "" && (!errors.As(err, &e) || e.Reason != reason) {
		t.Errorf("error %q has not the reason %s", err, reason)
	}
}

func TestPluginServes(t *testing.T) {
	house := newHouse(t)
	inst, err := house.start(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t.Context(), inst, "hello"); got != "hello" || err != nil {
		t.Errorf("answer %q, %v", got, err)
	}
	if err := inst.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if got := inst.Description; got.Name != "good" || got.Version != "1.2.3" {
		t.Errorf("description %+v", got)
	}
	if err := inst.Close(t.Context()); err != nil {
		t.Error(err)
	}
	<-inst.Exited()
	if err := inst.Err(); err != nil {
		t.Errorf("an end that was asked for is an error: %v", err)
	}
	if _, err := os.Stat(inst.RuntimeDir()); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestManyPluginsStartAtOnce(t *testing.T) {
	house := newHouse(t)
	install(t, house.builtin, "good")
	install(t, house.third, "gold")
	host := house.host(t)
	var wg sync.WaitGroup
	for n := range 6 {
		name := []string{"good", "gold"}[n%2]
		wg.Go(func() {
			inst, err := host.Start(t.Context(), Request{Kind: base.KindLLM, Name: name})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := ask(t.Context(), inst, name); got != name || err != nil {
				t.Errorf("answer %q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestConfigurationIsRefused(t *testing.T) {
	house := newHouse(t)
	install(t, house.builtin, "good")
	_, err := house.host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "good", Config: []byte(`{"refuse": "not today"}`)})
	var diags base.Diagnostics
	if !errors.As(err, &diags) || diags[0].Path[0] != "refuse" {
		t.Errorf("error %v carries no diagnostics", err)
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	house := newHouse(t)
	env := map[string]string{
		"PATH": "/bin", "ANTHROPIC_API_KEY": "leak", "SOME_API_KEY": "leak", "SESSION": "leak", "ALLOWED_BY_DESCRIBE": "yes",
	}
	inst, err := house.start(t, "good", func(o *Options) {
		o.Getenv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ask(t.Context(), inst, "env")
	if err != nil {
		t.Fatal(err)
	}
	// No details: a failure must not print the environment of whoever runs the test.
	if strings.Contains(got, "leak") || strings.Contains(got, "HOME=") {
		t.Error("the environment holds more than is allowed")
	}
	if !strings.Contains(got, `"ALLOWED_BY_DESCRIBE=yes"`) || !strings.Contains(got, `"PATH=/bin"`) {
		t.Error("the environment lacks what is allowed")
	}
	if _, ok := house.log.find("variable withheld"); !ok {
		t.Error("nobody was told of the variable that was withheld")
	}
}

func TestNamespacesAreCloned(t *testing.T) {
	house := newHouse(t)
	inst, err := house.start(t, "jailed")
	if err != nil {
		t.Fatal(err)
	}
	if _, refused := house.log.find("without namespaces"); refused {
		t.Log("the system refuses namespaces; the plugin runs without")
		return
	}
	got, err := ask(t.Context(), inst, "netns")
	if err != nil {
		t.Fatal(err)
	}
	if ours := must(os.Readlink("/proc/self/ns/net")); got == ours {
		t.Errorf("the plugin is in our network namespace %s", ours)
	}
}

func TestStrayPrintsAreLogged(t *testing.T) {
	house := newHouse(t)
	inst, err := house.start(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t.Context(), inst, "print"); got != "printed" || err != nil {
		t.Fatalf("answer %q, %v", got, err)
	}
	house.log.wait(t, "a stray print")
}

func TestRuntimeDirTooLong(t *testing.T) {
	_, err := New(Options{RuntimeDir: "/tmp/" + strings.Repeat("d", 90)})
	wantErr(t, err, "plugin_socket_path", "is too long")
}

func TestDirectoryOfKilledHostIsCollected(t *testing.T) {
	parent := must(os.MkdirTemp("", "ph"))
	stale, foreign := filepath.Join(parent, runtimePrefix+"123"), filepath.Join(parent, "voidbox-123")
	for _, dir := range []string{stale, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	live, err := newRuntimeDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newRuntimeDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the dead host's directory is left: %v", err)
	}
	for _, dir := range []string{foreign, live.path, other.path} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("removed what is in use or another's: %v", err)
		}
	}
	if err := errors.Join(live.remove(), other.remove(), os.RemoveAll(parent)); err != nil {
		t.Error(err)
	}
}
