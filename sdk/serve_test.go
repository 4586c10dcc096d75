package sdk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// program is the name under which the test binary is a plugin.
const program = "voidbox-share-fake"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != program {
		os.Exit(m.Run())
	}
	p := fakePlugin()
	p.Configure = func(context.Context, base.Config) error {
		slog.Info("configured", "by", "hand")
		slog.Error("an error", "error", io.ErrUnexpectedEOF)
		// What the author, a library or a child prints must not end up in the handshake.
		fmt.Println("printed by Go")
		os.NewFile(1, "stdout").WriteString("written to descriptor 1\n")
		return nil
	}
	p.Drain = func(context.Context) error {
		slog.Info("drained")
		return nil
	}
	Serve(p)
}

func pluginCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args = append([]string{program}, args...)
	return cmd
}

func TestRunByHand(t *testing.T) {
	out, err := pluginCommand(t).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit %v", err)
	}
	if !strings.Contains(string(out), `is a plugin for voidbox (share "fake", version 1.0.0)`) {
		t.Errorf("output %s", out)
	}
}

func TestDescribe(t *testing.T) {
	out, err := pluginCommand(t, "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var desc base.Description
	if err := json.Unmarshal(out, &desc); err != nil {
		t.Fatal(err)
	}
	if desc.Kind != base.KindShare || desc.Name != "fake" || len(desc.ProtocolVersions) != 1 {
		t.Errorf("description %+v", desc)
	}
}

// TestPlainGoPlugin serves a host that knows go-plugin and nothing of ours, and looks at what its log makes of ours.
func TestPlainGoPlugin(t *testing.T) {
	var log bytes.Buffer
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{1: {}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		Cmd:              pluginCommand(t),
		Logger:           hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug}),
	})
	rpc, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn := rpc.(*plugin.GRPCClient).Conn
	if _, err := base.NewClient(conn).Configure(t.Context(), base.Config{}); err != nil {
		t.Fatal(err)
	}
	if stats, err := share.NewClient(conn).Stats(t.Context()); err != nil || stats["n"] != 1 {
		t.Errorf("stats %v, %v", stats, err)
	}
	client.Kill() // waits for the log
	for _, want := range []string{"[INFO]  " + program + ": configured: by=hand", "[ERROR] " + program + `: an error: error="unexpected EOF"`} {
		if !strings.Contains(strings.ReplaceAll(log.String(), filepath.Base(os.Args[0]), program), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

// running is a plugin that was started without a host, and has shaken hands.
type running struct {
	cmd      *exec.Cmd
	lifeline *os.File
	dir      string
	stderr   *bufio.Reader
}

func start(t *testing.T) *running {
	t.Helper()
	parent, err := os.MkdirTemp("", "sdk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	dir := filepath.Join(parent, "1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := pluginCommand(t)
	cmd.Env = append(os.Environ(), CookieKey+"="+CookieValue, "PLUGIN_PROTOCOL_VERSIONS=1",
		plugin.EnvUnixSocketDir+"="+dir, EnvLifeline+"=3", EnvRuntimeDir+"="+dir)
	cmd.ExtraFiles = []*os.File{r}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.HasPrefix(line, "1|1|unix|"+dir) {
		t.Fatalf("handshake %q, %v", line, err)
	}
	return &running{cmd: cmd, lifeline: w, dir: dir, stderr: bufio.NewReader(stderr)}
}

// wait waits for the end of the plugin, and is the test's end if that does not come.
func (r *running) wait(t *testing.T) (log string, err error) {
	t.Helper()
	net := time.AfterFunc(time.Minute, func() { r.cmd.Process.Kill() })
	text, readErr := io.ReadAll(r.stderr)
	err = r.cmd.Wait()
	if !net.Stop() {
		t.Fatal("the plugin did not end")
	}
	return string(text), errors.Join(readErr, err)
}

func TestHostDies(t *testing.T) {
	p := start(t)
	p.lifeline.Close()
	if _, err := p.wait(t); err == nil {
		t.Error("it ended as if all were well")
	}
	if _, err := os.Stat(filepath.Dir(p.dir)); !os.IsNotExist(err) {
		t.Errorf("its directory is left: %v", err)
	}
}

func TestSIGTERMDrains(t *testing.T) {
	p := start(t)
	// The first must be ignored: Ctrl-C in a terminal is for the host to interpret.
	for _, sig := range []os.Signal{os.Interrupt, unix.SIGTERM} {
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	log, err := p.wait(t)
	if err != nil || !strings.Contains(log, `"@message":"drained"`) {
		t.Errorf("ended with %v, and said %s", err, log)
	}
}

func TestBadLifelineIsAnError(t *testing.T) {
	for _, fd := range []string{"one", "1", "999"} {
		if err := watchLifeline(fd, ""); err == nil {
			t.Errorf("%q was taken for a lifeline", fd)
		}
	}
}
