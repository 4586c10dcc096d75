package sdk

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// TestConn serves p within the test's process, over real gRPC with the limits and the order of calls that a host sees, and
// configures it with config, a JSON object. It ends with the test.
func TestConn(t testing.TB, p Plugin, config string) *grpc.ClientConn {
	t.Helper()
	if err := p.check(); err != nil {
		t.Fatalf("plugin: %v", err)
	}
	inst := newInstance(p)
	server := inst.newServer(nil)
	if err := inst.register(server); err != nil {
		t.Fatalf("register plugin: %v", err)
	}
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
	)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	cfg := base.Config{Instance: p.Name, JSON: []byte(config), RuntimeDir: t.TempDir()}
	if _, err := base.NewClient(conn).Configure(t.Context(), cfg); err != nil {
		t.Fatalf("configure: %v", err)
	}
	return conn
}
