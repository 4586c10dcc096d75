package base_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"net"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

type fake struct {
	config base.Config
	answer error
	grace  time.Duration
}

func (f *fake) Info() base.Description {
	return base.Description{
		Kind: base.KindShare, Name: "fake", Version: "1.2.3", Description: "says what it is told", Capabilities: []string{"a", "b"},
		Schema: base.Schema{
			Attributes: []base.Attribute{{Name: "x", Type: "list(string)", Description: "d", Required: true, Sensitive: true, Default: json.RawMessage(`["y"]`)}},
			Blocks: []base.NestedBlock{{Type: "b", Description: "e", MinItems: 1, MaxItems: 2, Schema: base.Schema{
				Attributes: []base.Attribute{{Name: "z", Type: "bool"}},
			}}},
		},
	}
}
func (f *fake) Configure(_ context.Context, c base.Config) error { f.config = c; return f.answer }
func (f *fake) Drain(_ context.Context, grace time.Duration) error {
	f.grace = grace
	return f.answer
}

// serve runs a Base service in the test.
func serve(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	conn, err := grpc.NewClient("passthrough:///base",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop(); <-done })
	return conn
}

func dial(t *testing.T, f *fake) *base.Client {
	return base.NewClient(serve(t, func(s *grpc.Server) { base.Register(s, f) }))
}

func TestInfoTravels(t *testing.T) {
	f := &fake{}
	got, err := dial(t, f).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Info(), got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigureTravels(t *testing.T) {
	cfg := base.Config{Instance: "main", JSON: json.RawMessage(`{"x":1}`), RuntimeDir: "/run/x"}
	warning := base.Diagnostic{Severity: base.Warning, Summary: "old"}
	failure := base.Diagnostic{Summary: "bad", Detail: "very", Path: []string{"retry", "0"}}
	for name, tt := range map[string]struct {
		answer error
		diags  base.Diagnostics
		failed bool
	}{
		"good":    {nil, nil, false},
		"warning": {base.Diagnostics{warning}, base.Diagnostics{warning}, false},
		"refused": {base.Diagnostics{warning, failure}, base.Diagnostics{warning, failure}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: tt.answer}
			diags, err := dial(t, f).Configure(t.Context(), cfg)
			if diff := cmp.Diff(tt.diags, diags); diff != "" {
				t.Error(diff)
			}
			var asError base.Diagnostics
			if errors.As(err, &asError) != tt.failed {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(cfg, f.config); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTypedErrorsTravel(t *testing.T) {
	f := &fake{answer: errdef.New(errdef.ErrState, "too late").WithRemedy("come earlier")}
	c := dial(t, f)
	_, err := c.Configure(t.Context(), base.Config{})
	if !errors.Is(err, errdef.ErrState) || errdef.Remedy(err) != "come earlier" {
		t.Errorf("configure: %v", err)
	}
	if err := c.Drain(t.Context(), time.Second); !errors.Is(err, errdef.ErrState) || f.grace != time.Second {
		t.Errorf("drain with %s: %v", f.grace, err)
	}
}

// deepServer answers with blocks within blocks without end.
type deepServer struct {
	pluginv1.UnimplementedBaseServer
}

func (deepServer) GetInfo(context.Context, *pluginv1.GetInfoRequest) (*pluginv1.GetInfoResponse, error) {
	schema := &pluginv1.Schema{}
	for range 1000 {
		schema = &pluginv1.Schema{Blocks: []*pluginv1.Schema_NestedBlock{{Type: "b", Schema: schema}}}
	}
	return &pluginv1.GetInfoResponse{Schema: schema}, nil
}

func TestDeepSchemaIsRefused(t *testing.T) {
	conn := serve(t, func(s *grpc.Server) { pluginv1.RegisterBaseServer(s, deepServer{}) })
	if _, err := base.NewClient(conn).Info(t.Context()); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}
