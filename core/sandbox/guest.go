package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Limits of the ways to the end, each of which has a harder one behind it.
const (
	powerOffLimit = 5 * time.Second  // a guest that has shut down, to power off
	stopLimit     = 10 * time.Second // the monitor, to stop the VM
	drainLimit    = 2 * time.Second  // what the VM said last, to arrive
)

// guest is a VM and the host's side of it.
type guest struct {
	cfg     VMConfig
	dir     string // holds the sockets
	ownDir  bool
	socket  string
	token   []byte
	created vmm.Created
	image   string // ID of the image below the root; empty where there is none

	conn      *grpc.ClientConn
	agent     sandbox.Sandbox
	announced *announcements
	tail      consoleTail

	signals chan signal   // to boot
	booted  chan struct{} // closed when boot no longer listens

	cancel  context.CancelFunc // ends the streams
	streams sync.WaitGroup     // events and console

	ended    chan struct{} // closed when the VM has stopped, or its monitor is gone
	mu       sync.Mutex
	last     vmm.Event // the last one that explains the end
	watchErr error
}

func (g *guest) accelerator() string      { return g.created.Accelerator }
func (g *guest) socketPath() string       { return g.socket }
func (g *guest) imageID() string          { return g.image }
func (g *guest) stopped() <-chan struct{} { return g.ended }

func (g *guest) console(ctx context.Context, follow bool, w io.Writer) error {
	return g.cfg.VMM.Console(ctx, follow, func(data []byte, lost uint64) error {
		if lost > 0 {
			if _, err := fmt.Fprintf(w, "\n[%d bytes of console output were lost]\n", lost); err != nil {
				return err
			}
		}
		_, err := w.Write(data)
		return err
	})
}

func (g *guest) err() error {
	select {
	case <-g.ended:
	default:
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.watchErr != nil:
		return fmt.Errorf("%w: its monitor is gone: %w", ErrStopped, g.watchErr)
	case g.last.Kind == "":
		return ErrStopped
	}
	return fmt.Errorf("%w: %s", ErrStopped, describe(g.last))
}

// describe puts an event into words.
func describe(e vmm.Event) string {
	words := map[vmm.EventKind]string{
		vmm.PowerOff: "the guest powered itself off",
		vmm.Reset:    "the guest asked for a reset",
		vmm.Panic:    "kernel panic",
		vmm.Failed:   "the monitor failed",
	}[e.Kind]
	if words == "" {
		words = string(e.Kind)
	}
	if e.Detail != "" {
		words += ": " + e.Detail
	}
	return words
}

// follow reads events and console until the VM stops.
func (g *guest) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.streams.Go(func() { g.watch(ctx) })
	g.streams.Go(func() {
		_ = g.cfg.VMM.Console(ctx, true, func(data []byte, _ uint64) error {
			g.tail.add(data)
			g.tell(signal{output: true})
			return nil
		})
	})
}

func (g *guest) watch(ctx context.Context) {
	defer close(g.ended)
	err := g.cfg.VMM.Watch(ctx, func(e vmm.Event) error {
		g.mu.Lock()
		if e.Kind != vmm.Stopped {
			g.last = e
		}
		g.mu.Unlock()
		g.tell(signal{event: &e})
		return nil
	})
	if err == nil {
		return
	}
	g.mu.Lock()
	g.watchErr = err
	g.mu.Unlock()
	g.tell(signal{lost: err})
}

// tell hands a signal to boot, and drops it when boot is over.
func (g *guest) tell(s signal) {
	select {
	case g.signals <- s:
	case <-g.booted:
	}
}

// close implements backing.
func (g *guest) close(ctx context.Context, agent sandbox.Sandbox) error {
	select {
	case <-g.ended:
	default:
		g.shutDown(ctx, agent)
	}
	return g.tearDown()
}

// shutDown asks the agent to end everything and waits for the power-off. Where that fails, the VM is stopped without.
func (g *guest) shutDown(ctx context.Context, agent sandbox.Sandbox) {
	if ctx.Err() != nil {
		return
	}
	if _, err := agent.Shutdown(ctx, 0); err != nil {
		g.cfg.Logger.Debug("the guest does not shut down", "error", err)
		return
	}
	select {
	case <-g.ended:
	case <-ctx.Done():
	case <-time.After(powerOffLimit):
		g.cfg.Logger.Warn("the guest has shut down, but does not power off")
	}
}

// tearDown ends the VM for good and waits for everything that watched it. It does not depend on a caller's context, since it
// must also happen after that has ended.
func (g *guest) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := g.cfg.VMM.Stop(ctx, 0)
	if errors.Is(err, errdef.ErrUnavailable) {
		err = nil // the monitor is gone, and the VM with it
	}
	timer := time.AfterFunc(drainLimit, g.cancel)
	g.streams.Wait()
	timer.Stop()
	g.cancel()
	g.remove()
	if err != nil {
		return fmt.Errorf("stop the VM: %w", err)
	}
	return nil
}

// remove lets go of what is on this side of the VM.
func (g *guest) remove() {
	if g.announced != nil {
		g.announced.finish(drainLimit)
	}
	if g.conn != nil {
		_ = g.conn.Close()
	}
	if g.ownDir {
		_ = os.RemoveAll(g.dir)
		return
	}
	// The device removes its own; after a monitor that was killed, they are still there.
	leftovers, _ := filepath.Glob(g.socket + "*")
	for _, path := range leftovers {
		_ = os.Remove(path)
	}
}
