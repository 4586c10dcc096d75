package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// newClient makes a client of a sandbox that dial leads to.
func newClient(t testing.TB, token []byte, dial func(context.Context) (net.Conn, error)) sandbox.Sandbox {
	t.Helper()
	opts := append(sandbox.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	conn, err := grpc.NewClient("passthrough:///agent", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return sandbox.NewClient(conn, token)
}

// client talks to the agent in the machine.
func (v *vm) client(token []byte) sandbox.Sandbox { return newClient(v.t, token, v.dial) }

// dial connects to the agent's vsock port.
func (v *vm) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", v.dir+"/vsock")
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", boot.AgentPort); err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(oneByte{conn}, 16).ReadString('\n')
	if err != nil || line[:2] != "OK" {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to the guest: %q, %w", line, err)
	}
	return conn, nil
}

// oneByte reads no further than asked, so that nothing of what follows the line is lost in a buffer.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:1]) }
