package mock

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/voidbox-run/voidbox/sdk/plugintest"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect serves a provider over real gRPC.
func connect(t *testing.T, p sandbox.Provider) sandbox.Provider {
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(sandbox.ServerOptions()...)
	sandbox.RegisterProvider(server, p)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	options := append(sandbox.DialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	conn, err := grpc.NewClient("passthrough:///mock", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return sandbox.NewProvider(conn)
}

// create makes a sandbox that is destroyed with the test.
func create(t *testing.T, p sandbox.Provider, spec sandbox.Spec) sandbox.Sandbox {
	id, s, err := p.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // destroying twice is not an error
			if err := p.Destroy(context.Background(), id); err != nil {
				t.Errorf("destroy: %v", err)
			}
		}
	})
	return s
}

func TestContractInProcess(t *testing.T) {
	plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox { return create(t, NewProvider(), sandbox.Spec{}) })
}

func TestContractOverGRPC(t *testing.T) {
	plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox { return create(t, connect(t, NewProvider()), sandbox.Spec{}) })
}

func TestMainProcess(t *testing.T) {
	plugintest.SandboxMain(t, func(t *testing.T, main []string) sandbox.Sandbox {
		return create(t, connect(t, NewProvider()), sandbox.Spec{Main: main})
	})
}
