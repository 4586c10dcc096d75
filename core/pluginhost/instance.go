package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/sdk/skill"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Instance is one plugin process, configured. Its clients are safe for concurrent use and valid until Close.
type Instance struct {
	Description base.Description

	host   *Host
	name   string // kind and name
	dir    string // private directory of the process
	proc   *process
	client *plugin.Client
	conn   *grpc.ClientConn
	base   *base.Client

	closeOnce sync.Once
	closeErr  error
	closing   chan struct{} // closed when Close begins
	died      bool          // it was dead by then
	ended     chan struct{} // closed when Close is done, for an instance without a process of ours
}

func newInstance(h *Host, name string, desc base.Description) *Instance {
	return &Instance{Description: desc, host: h, name: name, closing: make(chan struct{}), ended: make(chan struct{})}
}

func (i *Instance) use(conn *grpc.ClientConn) { i.conn, i.base = conn, base.NewClient(conn) }

// The clients below are those of the instance's kind; calls through another kind's fail with errdef.ErrUnsupported.

// LLM returns the client of an LLM plugin.
func (i *Instance) LLM() llm.LLM { return llm.NewClient(i.conn) }

// Network returns the client of a network plugin.
func (i *Instance) Network() network.Network { return network.NewClient(i.conn) }

// Sandbox returns the client of a sandbox plugin.
func (i *Instance) Sandbox() sandbox.Provider { return sandbox.NewProvider(i.conn) }

// Share returns the client of a share plugin.
func (i *Instance) Share() share.Share { return share.NewClient(i.conn) }

// Skill returns the client of a skill plugin.
func (i *Instance) Skill() skill.Skill { return skill.NewClient(i.conn) }

// VMM returns the client of a VMM plugin.
func (i *Instance) VMM() vmm.VMM { return vmm.NewClient(i.conn) }

// RuntimeDir returns the private directory of the process; it goes with the instance.
func (i *Instance) RuntimeDir() string { return i.dir }

// PID returns the process ID; 0 for a plugin that was started elsewhere.
func (i *Instance) PID() int {
	if i.proc == nil {
		return 0
	}
	return i.proc.cmd.Process.Pid
}

// Exited is closed when the process has ended and everything that it started is dead.
func (i *Instance) Exited() <-chan struct{} {
	if i.proc == nil {
		return i.ended
	}
	return i.proc.exited
}

// Err says why a process ended that should not have: an *ExitError. It is nil while the process runs, and after Close.
func (i *Instance) Err() error {
	select {
	case <-i.Exited():
	default:
		return nil
	}
	select {
	case <-i.closing:
		if !i.died {
			return nil
		}
	default:
	}
	if i.proc == nil {
		return nil
	}
	return i.proc.cause("")
}

// Ping asks the plugin whether it serves.
func (i *Instance) Ping(ctx context.Context) error {
	resp, err := grpc_health_v1.NewHealthClient(i.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return fmt.Errorf("plugin %s: ping: %w", i.name, errdef.FromStatus(err))
	}
	if s := resp.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return errdef.New(errdef.ErrUnavailable, "plugin %s is not serving: %s", i.name, s)
	}
	return nil
}

// Close drains the plugin, ends its process and everything that it started, and removes its directory. What is not done when
// the grace is over, or ctx, is killed. Closing twice is not an error.
func (i *Instance) Close(ctx context.Context) error {
	i.closeOnce.Do(func() {
		select {
		case <-i.Exited():
			i.died = true
		default:
		}
		close(i.closing)
		if i.proc == nil {
			i.closeErr = errors.Join(i.conn.Close(), os.RemoveAll(i.dir))
			close(i.ended)
		} else {
			i.end(ctx)
			i.closeErr = i.discard()
		}
		i.host.mu.Lock()
		delete(i.host.instances, i)
		i.host.mu.Unlock()
	})
	return i.closeErr
}

// shutdownMethod is go-plugin's own call to end a server. Its client is internal, and its messages are empty.
const shutdownMethod = "/plugin.GRPCController/Shutdown"

// end asks the process to end, and waits for it as long as the grace and ctx allow.
func (i *Instance) end(ctx context.Context) {
	grace := i.host.opt.Grace
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := i.base.Drain(ctx, grace); err != nil && !i.died {
		i.host.log.Warn("plugin did not drain", "plugin", i.name, "error", err)
	}
	// The server stops in the middle of the call, so that its error means nothing.
	_ = i.conn.Invoke(ctx, shutdownMethod, &emptypb.Empty{}, &emptypb.Empty{})
	select {
	case <-i.proc.exited:
	case <-ctx.Done():
		i.host.log.Warn("plugin did not end by itself", "plugin", i.name, "grace", grace)
	}
}

// discard kills the process if it lives, waits for all that watches it, and removes its directory.
func (i *Instance) discard() error {
	i.proc.kill()
	if i.proc.running() {
		<-i.proc.exited
	}
	close(i.proc.released)
	if i.conn != nil {
		i.conn.Close() // or go-plugin dials a socket that is gone, to end a server that is
	}
	i.client.Kill()
	return os.RemoveAll(i.dir)
}
