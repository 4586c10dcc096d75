package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Client is a connection to a sandbox that runs. Its owner closes it.
type Client struct {
	sandbox.Sandbox
	conn *grpc.ClientConn
}

// Close ends the connection, and the calls over it.
func (c *Client) Close() error { return c.conn.Close() }

// Connect connects to the sandbox, which must run.
func (b *Sandbox) Connect() (*Client, error) {
	i := b.Instance
	if i.State != Running {
		return nil, b.notRunning()
	}
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", i.Socket())
	}
	conn, err := grpc.NewClient("passthrough:///"+b.Name, append(sandbox.DialOptions(),
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0))...)
	if err != nil {
		return nil, err
	}
	return &Client{Sandbox: sandbox.NewClient(conn, i.Token), conn: conn}, nil
}

func (b *Sandbox) notRunning() error {
	err := errdef.New(errdef.ErrState, "sandbox %s is %s", b.Name, b.Instance.State).WithReason("not_running")
	switch b.Instance.State {
	case Stopped:
		return err.WithRemedy("start it: voidbox sandbox start %s", b.Name)
	case Dead:
		return errdef.New(errdef.ErrState, "sandbox %s is dead: %s", b.Name, b.Instance.Error).WithReason("not_running").
			WithRemedy("start it again: voidbox sandbox start %s; or remove it: voidbox sandbox remove %s", b.Name, b.Name)
	}
	return err.WithRemedy("wait for it: voidbox sandbox list")
}

// Stop ends the sandbox: its main process first, then all others after grace (zero means the contract's own), then the machine. It
// returns when the shim has gone. The end of ctx makes it a kill.
func (s *Store) Stop(ctx context.Context, name string, grace time.Duration) error {
	b, err := s.Get(name)
	if err != nil {
		return err
	}
	if !b.Instance.State.alive() {
		return b.notRunning()
	}
	if b.Instance.State == Running {
		err = b.shutDown(ctx, grace)
	}
	if err != nil || b.Instance.State != Running {
		b.signal()
	}
	if goneErr := b.waitGone(ctx); goneErr != nil {
		return errors.Join(err, goneErr)
	}
	return nil
}

func (b *Sandbox) shutDown(ctx context.Context, grace time.Duration) error {
	client, err := b.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Shutdown(ctx, grace)
	return err
}

// waitGone waits until the lock is free. When ctx ends first, the shim is killed, and with it all that it holds.
func (b *Sandbox) waitGone(ctx context.Context) error {
	killed := false
	for {
		lock, err := tryLock(b.dir)
		if err == nil {
			lock.Close()
			return b.settle()
		}
		if !errors.Is(err, errLocked) {
			return nil // the directory is gone, too: the start was given up
		}
		if ctx.Err() != nil && !killed {
			killed = true
			b.kill()
		}
		time.Sleep(lockPoll)
	}
}

// settle notes the end of a shim that could not do so itself.
func (b *Sandbox) settle() (err error) {
	if b.Instance, err = readInstance(b.dir); err != nil || !b.Instance.State.alive() {
		return err
	}
	if err := b.recover(); err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	return nil
}
