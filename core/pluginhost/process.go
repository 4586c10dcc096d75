package pluginhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/peercred"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// drainTime bounds the wait for the rest of a dead plugin's output, which a process that left the group may hold open.
const drainTime = 250 * time.Millisecond

// process is one plugin process. It implements go-plugin's runner.Runner.
type process struct {
	plugin string // kind and name
	dir    string // private; its socket must lie below
	tls    bool   // the handshake must bring a certificate
	start  func(childFiles) (*exec.Cmd, error)
	// capture takes standard output in place of the handshake, when set.
	capture *capture

	cmd    *exec.Cmd // nil until it runs
	filter *logFilter
	stdout *io.PipeReader // the handshake line, for go-plugin
	socket string         // set by the handshake

	// exited is closed when the process is reaped, its group killed and its output read.
	exited chan struct{}
	status *os.ProcessState // valid once exited

	// released lets go-plugin learn of the exit. It cancels its calls then, and a client whose set-up it cancels leaks; so it
	// learns of it when its client is closed, and not before.
	released chan struct{}

	mu      sync.Mutex
	failure error // why the process is worth nothing, when it was found out before it died
	killed  bool  // the host ended it
	gone    bool  // the group is dead
}

var _ runner.Runner = (*process)(nil)

func newProcess(plugin, dir string, log *slog.Logger) *process {
	return &process{
		plugin: plugin, dir: dir,
		filter: &logFilter{log: log.With("plugin", plugin)},
		exited: make(chan struct{}), released: make(chan struct{}),
	}
}

// Start implements runner.Runner.
func (p *process) Start(context.Context) error {
	var ours, theirs []*os.File
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(append(ours, theirs...))
			return fmt.Errorf("make a pipe for plugin %s: %w", p.plugin, err)
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	// Of the lifeline the child gets the reading end.
	ours[2], theirs[2] = theirs[2], ours[2]
	cmd, err := p.start(childFiles{stdout: theirs[0], stderr: theirs[1], lifeline: theirs[2]})
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		p.fail(err)
		return err
	}
	p.mu.Lock()
	p.cmd = cmd
	if p.killed {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	p.mu.Unlock()

	var handshake *io.PipeWriter
	p.stdout, handshake = io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() {
		if p.capture != nil {
			p.capture.read(ours[0])
			return
		}
		p.readStdout(ours[0], handshake)
	})
	reading.Go(func() { p.filter.read(ours[1]) })
	go p.reap(ours, &reading)
	return nil
}

// reap waits for the end of the process and cleans up behind it.
func (p *process) reap(files []*os.File, reading *sync.WaitGroup) {
	defer close(p.exited)
	awaitExit(p.cmd)
	p.mu.Lock()
	// What the plugin started dies with it.
	unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	p.gone = true
	p.mu.Unlock()
	// Its error is in the state, or a failure to copy output, which nobody does here.
	_ = p.cmd.Wait()
	p.status = p.cmd.ProcessState
	deadline := time.Now().Add(drainTime)
	for _, f := range files[:2] {
		f.SetReadDeadline(deadline)
	}
	reading.Wait()
	closeAll(files)
}

func (p *process) readStdout(stdout io.Reader, handshake *io.PipeWriter) {
	in := bufio.NewReaderSize(stdout, maxHandshake)
	line, err := readHandshake(p.plugin, p.tls, in)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			p.fail(err)
			p.kill()
		}
		handshake.CloseWithError(io.EOF)
	} else {
		io.WriteString(handshake, line+"\n")
		handshake.Close()
	}
	// What comes later is no handshake, and must not fill the pipe.
	p.filter.read(in)
}

// fail records why the process is worth nothing. The first reason stays.
func (p *process) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = err
	}
}

// kill ends the process and its group at once.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Once the group is gone its number may be somebody else's.
	if p.gone {
		return
	}
	p.killed = true // before it runs, Start sees this
	if p.cmd != nil {
		unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	}
}

// running tells whether the process was started, be it dead or alive.
func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// reason returns what was found wrong with the process, if anything was.
func (p *process) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// cause says what went wrong with a process that has exited; nil when the host ended it and nothing else was wrong.
func (p *process) cause(when string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil {
		return p.failure
	}
	if p.killed || p.status == nil {
		return nil
	}
	return &ExitError{Plugin: p.plugin, When: when, Status: p.status.String(), Stderr: p.filter.lastLines()}
}

// Wait implements runner.Runner.
func (p *process) Wait(context.Context) error {
	<-p.released
	<-p.exited
	return nil
}

// Kill implements runner.Runner, and does nothing: go-plugin kills at the first error, and a process that is about to die of
// its own could no longer say of what. The host kills when it knows.
func (p *process) Kill(context.Context) error { return nil }

// Stdout implements runner.Runner.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr implements runner.Runner. The real one never reaches go-plugin.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (p *process) Name() string { return p.plugin }

// ID implements runner.Runner.
func (p *process) ID() string {
	if p.cmd == nil {
		return ""
	}
	return strconv.Itoa(p.cmd.Process.Pid)
}

// Diagnose implements runner.Runner; our own errors say more.
func (p *process) Diagnose(context.Context) string { return "" }

// HostToPlugin implements runner.Runner.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// PluginToHost implements runner.Runner. A plugin says where its socket is; we go nowhere but into its own directory.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	rel, err := filepath.Rel(p.dir, addr)
	if network != "unix" || err != nil || !filepath.IsLocal(rel) {
		err := errdef.New(errdef.ErrPermission, "plugin %s listens at %s, outside of its directory %s", p.plugin, quote(addr), p.dir).
			WithReason(ReasonPeer).WithRemedy("make the socket in $PLUGIN_UNIX_SOCKET_DIR")
		p.fail(err)
		return "", "", err
	}
	p.socket = addr
	return network, addr, nil
}

// dial connects to the plugin's socket and makes sure that the plugin is at its other end: a process of the same user could
// have put a socket of its own there.
func (p *process) dial(ctx context.Context, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", p.socket)
	if err != nil {
		return nil, err
	}
	pid, uid, err := peercred.Of(conn.(*net.UnixConn))
	if err == nil && (pid != p.cmd.Process.Pid || uid != os.Geteuid()) {
		err = errdef.New(errdef.ErrPermission, "process %d of user %d listens at the socket of plugin %s, which is process %d of user %d",
			pid, uid, p.plugin, p.cmd.Process.Pid, os.Geteuid()).
			WithReason(ReasonPeer).WithRemedy("a wrapper script must exec the plugin, so that the process stays the same")
	}
	if err != nil {
		p.fail(err)
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
