package agent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
	"github.com/voidbox-run/voidbox/guest/agent/internal/command"
	"github.com/voidbox-run/voidbox/guest/agent/internal/errno"
	"github.com/voidbox-run/voidbox/guest/agent/internal/files"
	"github.com/voidbox-run/voidbox/guest/agent/internal/proc"
	"github.com/voidbox-run/voidbox/guest/agent/internal/vitals"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Parts are what an agent is made of.
type Parts struct {
	Config  *boot.Config
	Version string
	Table   *proc.Table
	Tree    *cgroup.Tree // nil where there are no cgroups
	Log     *slog.Logger
}

// Agent serves one sandbox. It implements sandbox.Sandbox.
type Agent struct {
	Parts
	runner *command.Runner
	files  files.Files
	main   *mainProcess // nil without one

	end     sync.Once
	ended   chan struct{} // closed once everything has ended
	endExit *sandbox.Exit
}

var _ sandbox.Sandbox = (*Agent)(nil)

// New makes an agent. Nothing runs yet.
func New(p Parts) (*Agent, error) {
	if p.Config.User == (boot.User{}) {
		p.Config.User = boot.DefaultUser
	}
	runner, err := command.NewRunner(command.Settings{
		Table:    p.Table,
		Tree:     p.Tree,
		Env:      p.Config.Env,
		Dir:      p.Config.Dir,
		User:     p.Config.User,
		Limits:   p.Config.Limits,
		Commands: p.Config.Commands,
	})
	if err != nil {
		return nil, err
	}
	return &Agent{Parts: p, runner: runner, files: files.Files{Lookup: runner.Lookup}, ended: make(chan struct{})}, nil
}

// Close gives back what New took, once nothing runs any more.
func (a *Agent) Close() {
	if a.main != nil {
		a.main.close()
	}
	a.runner.Close()
}

// Ended is closed once Shutdown has ended everything.
func (a *Agent) Ended() <-chan struct{} { return a.ended }

// Exec runs a command.
func (a *Agent) Exec(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	return a.runner.Exec(ctx, cmd, stdio)
}

// ReadFile opens a regular file.
func (a *Agent) ReadFile(_ context.Context, path string, r sandbox.Range) (io.ReadCloser, error) {
	return a.files.ReadFile(path, r)
}

// WriteFile replaces a file.
func (a *Agent) WriteFile(_ context.Context, path string, opt sandbox.WriteOptions, content io.Reader) (int64, error) {
	return a.files.WriteFile(path, opt, content)
}

// Stat describes a path.
func (a *Agent) Stat(_ context.Context, path string, follow bool) (sandbox.FileInfo, error) {
	return a.files.Stat(path, follow)
}

// ListDir lists a directory.
func (a *Agent) ListDir(_ context.Context, path string) ([]sandbox.FileInfo, error) {
	return a.files.ListDir(path)
}

// MakeDir makes a directory.
func (a *Agent) MakeDir(_ context.Context, path string, opt sandbox.MakeDirOptions) error {
	return a.files.MakeDir(path, opt)
}

// Remove removes a path.
func (a *Agent) Remove(_ context.Context, path string, recursive bool) error {
	return a.files.Remove(path, recursive)
}

// Rename moves a path.
func (a *Agent) Rename(_ context.Context, from, to string) error {
	return a.files.Rename(from, to)
}

// ReadTree writes a file or a directory as an archive.
func (a *Agent) ReadTree(ctx context.Context, path string, w io.Writer) (sandbox.TreeStats, error) {
	return a.files.ReadTree(ctx, path, w)
}

// WriteTree makes a file or a directory of an archive.
func (a *Agent) WriteTree(ctx context.Context, path string, opt sandbox.TreeOptions, archive io.Reader) (sandbox.TreeStats, error) {
	return a.files.WriteTree(ctx, path, opt, archive)
}

// Info describes the machine.
func (a *Agent) Info(context.Context) (sandbox.Info, error) {
	info := sandbox.Info{
		AgentVersion: a.Version,
		User:         a.Config.User.Name,
		Home:         a.Config.User.Home,
		WorkingDir:   a.runner.WorkingDir(),
		Capabilities: a.capabilities(),
	}
	if a.main != nil {
		info.Main = a.main.state()
	}
	return info, vitals.Describe(&info)
}

func (a *Agent) capabilities() []string {
	list := []string{sandbox.CapPtyResize, sandbox.CapDial, sandbox.CapMetrics, sandbox.CapTrees, sandbox.CapExactLimits}
	if a.Tree != nil {
		list = append(list, sandbox.CapFreeze)
	}
	if os.Geteuid() == 0 {
		list = append(list, sandbox.CapUsers)
	}
	return list
}

// Metrics reads counters of the moment.
func (a *Agent) Metrics(context.Context) (sandbox.Metrics, error) { return vitals.Measure() }

// dialTimeout ends an attempt that nobody else bounds.
const dialTimeout = time.Minute

// Dial connects from here.
func (a *Agent) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "udp", "unix":
	default:
		return nil, errdef.New(errdef.ErrInvalid, "network %q is none of tcp, udp, unix", network)
	}
	if address == "" {
		return nil, errdef.New(errdef.ErrInvalid, "no address to dial")
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	return conn, dialError(err)
}

func dialError(err error) error {
	switch e := err.(type) {
	case *net.OpError:
		if wrapped := errno.Wrap(err); wrapped != err {
			return wrapped
		}
		if _, bad := e.Err.(*net.AddrError); bad {
			return errdef.New(errdef.ErrInvalid, "%w", err)
		}
		return errdef.New(errdef.ErrUnavailable, "%w", err)
	default:
		return err
	}
}

// Freeze stops everything but the agent.
func (a *Agent) Freeze(ctx context.Context) error { return a.runner.Freeze(ctx) }

// Thaw undoes Freeze.
func (a *Agent) Thaw(context.Context) error { return a.runner.Thaw() }
