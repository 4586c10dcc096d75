package base

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Server is what a plugin answers the Base service with. Package sdk implements it for a plugin's author.
type Server interface {
	Info() Description
	// Configure may return Diagnostics. Those without an error among them mean that the plugin is configured.
	Configure(ctx context.Context, c Config) error
	// Drain refuses new work and returns when the plugin is idle, or with an error once grace is over.
	Drain(ctx context.Context, grace time.Duration) error
}

// Register serves Base.
func Register(s grpc.ServiceRegistrar, impl Server) {
	pluginv1.RegisterBaseServer(s, &server{impl: impl})
}

type server struct {
	pluginv1.UnimplementedBaseServer
	impl Server
}

func (s *server) GetInfo(context.Context, *pluginv1.GetInfoRequest) (*pluginv1.GetInfoResponse, error) {
	d := s.impl.Info()
	return &pluginv1.GetInfoResponse{
		Kind:         kindToProto[d.Kind],
		Name:         d.Name,
		Version:      d.Version,
		Description:  d.Description,
		Capabilities: d.Capabilities,
		Schema:       schemaToProto(d.Schema),
	}, nil
}

func (s *server) Configure(ctx context.Context, req *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	err := s.impl.Configure(ctx, Config{
		Instance:   req.GetInstance(),
		JSON:       req.GetConfigJson(),
		RuntimeDir: req.GetRuntimeDir(),
	})
	var diags Diagnostics
	if errors.As(err, &diags) {
		return &pluginv1.ConfigureResponse{Diagnostics: diagnosticsToProto(diags)}, nil
	}
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.ConfigureResponse{}, nil
}

func (s *server) Drain(ctx context.Context, req *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	if err := s.impl.Drain(ctx, req.GetGrace().AsDuration()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.DrainResponse{}, nil
}
