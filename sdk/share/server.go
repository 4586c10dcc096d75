package share

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Register serves impl on s.
func Register(s grpc.ServiceRegistrar, impl Share) {
	pluginv1.RegisterShareServer(s, &server{impl: impl})
}

type server struct {
	pluginv1.UnimplementedShareServer
	impl Share
}

func (s *server) AttachShare(ctx context.Context, req *pluginv1.AttachShareRequest) (*pluginv1.AttachShareResponse, error) {
	a, err := attachmentFromProto(req)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	path, err := s.impl.Attach(ctx, a)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.AttachShareResponse{SocketPath: path}, nil
}

func (s *server) SaveHandles(ctx context.Context, _ *pluginv1.SaveHandlesRequest) (*pluginv1.SaveHandlesResponse, error) {
	state, err := s.impl.SaveHandles(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.SaveHandlesResponse{State: state}, nil
}

func (s *server) LoadHandles(ctx context.Context, req *pluginv1.LoadHandlesRequest) (*pluginv1.LoadHandlesResponse, error) {
	stale, err := s.impl.LoadHandles(ctx, req.GetState())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.LoadHandlesResponse{Stale: uint32(max(stale, 0))}, nil
}

func (s *server) GetShareStats(ctx context.Context, _ *pluginv1.GetShareStatsRequest) (*pluginv1.GetShareStatsResponse, error) {
	counters, err := s.impl.Stats(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.GetShareStatsResponse{Counters: counters}, nil
}
