package vmm

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Register serves impl on s.
func Register(s grpc.ServiceRegistrar, impl VMM) {
	pluginv1.RegisterVMMServer(s, &server{impl: impl})
}

type server struct {
	pluginv1.UnimplementedVMMServer
	impl VMM
}

func (s *server) CreateVM(ctx context.Context, req *pluginv1.CreateVMRequest) (*pluginv1.CreateVMResponse, error) {
	m, err := machineFromProto(req.GetMachine())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	created, err := s.impl.Create(ctx, m)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.CreateVMResponse{Accelerator: created.Accelerator, Monitor: created.Monitor}, nil
}

func (s *server) StartVM(ctx context.Context, _ *pluginv1.StartVMRequest) (*pluginv1.StartVMResponse, error) {
	return &pluginv1.StartVMResponse{}, errdef.ToStatus(s.impl.Start(ctx))
}

func (s *server) PauseVM(ctx context.Context, _ *pluginv1.PauseVMRequest) (*pluginv1.PauseVMResponse, error) {
	return &pluginv1.PauseVMResponse{}, errdef.ToStatus(s.impl.Pause(ctx))
}

func (s *server) ResumeVM(ctx context.Context, _ *pluginv1.ResumeVMRequest) (*pluginv1.ResumeVMResponse, error) {
	return &pluginv1.ResumeVMResponse{}, errdef.ToStatus(s.impl.Resume(ctx))
}

func (s *server) StopVM(ctx context.Context, req *pluginv1.StopVMRequest) (*pluginv1.StopVMResponse, error) {
	return &pluginv1.StopVMResponse{}, errdef.ToStatus(s.impl.Stop(ctx, req.GetGrace().AsDuration()))
}

func (s *server) SnapshotVM(ctx context.Context, req *pluginv1.SnapshotVMRequest) (*pluginv1.SnapshotVMResponse, error) {
	return &pluginv1.SnapshotVMResponse{}, errdef.ToStatus(s.impl.Snapshot(ctx, req.GetDirectory()))
}

func (s *server) RestoreVM(ctx context.Context, req *pluginv1.RestoreVMRequest) (*pluginv1.RestoreVMResponse, error) {
	wires, err := wiresFromProto(req.GetLinks(), req.GetVsock())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	disks := disksFromProto(req.GetDisks())
	return &pluginv1.RestoreVMResponse{}, errdef.ToStatus(s.impl.Restore(ctx, req.GetDirectory(), wires, disks))
}

func (s *server) RelinkVM(ctx context.Context, req *pluginv1.RelinkVMRequest) (*pluginv1.RelinkVMResponse, error) {
	wires, err := wiresFromProto([]*pluginv1.LinkDevice{req.GetLink()}, nil)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.RelinkVMResponse{}, errdef.ToStatus(s.impl.Relink(ctx, wires.Links[0]))
}

func (s *server) WatchVM(_ *pluginv1.WatchVMRequest, stream grpc.ServerStreamingServer[pluginv1.WatchVMResponse]) error {
	err := s.impl.Watch(stream.Context(), func(e Event) error { return stream.Send(eventToProto(e)) })
	return errdef.ToStatus(err)
}

func (s *server) ReadConsole(req *pluginv1.ReadConsoleRequest, stream grpc.ServerStreamingServer[pluginv1.ReadConsoleResponse]) error {
	err := s.impl.Console(stream.Context(), req.GetFollow(), func(data []byte, lost uint64) error {
		return stream.Send(&pluginv1.ReadConsoleResponse{Data: data, Lost: lost})
	})
	return errdef.ToStatus(err)
}

func (s *server) GetVMMetrics(ctx context.Context, _ *pluginv1.GetVMMetricsRequest) (*pluginv1.GetVMMetricsResponse, error) {
	counters, err := s.impl.Metrics(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.GetVMMetricsResponse{Counters: counters}, nil
}
