package sandbox

import (
	"context"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Register serves sandboxes on s. resolve returns the one that a token selects, else errdef.ErrUnauthenticated; it must not
// betray by its time how much of a token is right (see Single).
//
// An implementation is called with checked arguments: absolute paths, known signals, no NUL bytes. Stop the gRPC server to end
// the goroutines of its calls.
func Register(s grpc.ServiceRegistrar, resolve func(token []byte) (Sandbox, error)) {
	s.RegisterService(guard(resolve), &server{})
}

// server serves the calls of one sandbox.
type server struct {
	pluginv1.UnimplementedSandboxServer
	sandbox Sandbox
}

func (s *server) Stat(ctx context.Context, req *pluginv1.StatRequest) (*pluginv1.StatResponse, error) {
	if err := CheckPath(req.GetPath()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	info, err := s.sandbox.Stat(ctx, req.GetPath(), req.GetFollow())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.StatResponse{Info: fileToProto(info)}, nil
}

func (s *server) MakeDir(ctx context.Context, req *pluginv1.MakeDirRequest) (*pluginv1.MakeDirResponse, error) {
	if err := CheckPath(req.GetPath()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	opt := MakeDirOptions{Mode: ModeFromUnix(req.GetMode()), User: req.GetUser(), Parents: req.GetParents()}
	if err := s.sandbox.MakeDir(ctx, req.GetPath(), opt); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.MakeDirResponse{}, nil
}

func (s *server) Remove(ctx context.Context, req *pluginv1.RemoveRequest) (*pluginv1.RemoveResponse, error) {
	if err := CheckPath(req.GetPath()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	if err := s.sandbox.Remove(ctx, req.GetPath(), req.GetRecursive()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.RemoveResponse{}, nil
}

func (s *server) Rename(ctx context.Context, req *pluginv1.RenameRequest) (*pluginv1.RenameResponse, error) {
	for _, p := range []string{req.GetFrom(), req.GetTo()} {
		if err := CheckPath(p); err != nil {
			return nil, errdef.ToStatus(err)
		}
	}
	if err := s.sandbox.Rename(ctx, req.GetFrom(), req.GetTo()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.RenameResponse{}, nil
}

func (s *server) GetSandboxInfo(ctx context.Context, _ *pluginv1.GetSandboxInfoRequest) (*pluginv1.GetSandboxInfoResponse, error) {
	info, err := s.sandbox.Info(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return infoToProto(info), nil
}

func (s *server) GetSandboxMetrics(ctx context.Context, _ *pluginv1.GetSandboxMetricsRequest) (*pluginv1.GetSandboxMetricsResponse, error) {
	m, err := s.sandbox.Metrics(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return metricsToProto(m), nil
}

func (s *server) Freeze(ctx context.Context, _ *pluginv1.FreezeRequest) (*pluginv1.FreezeResponse, error) {
	if err := s.sandbox.Freeze(ctx); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.FreezeResponse{}, nil
}

func (s *server) Thaw(ctx context.Context, _ *pluginv1.ThawRequest) (*pluginv1.ThawResponse, error) {
	if err := s.sandbox.Thaw(ctx); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.ThawResponse{}, nil
}

func (s *server) WaitMain(ctx context.Context, _ *pluginv1.WaitMainRequest) (*pluginv1.WaitMainResponse, error) {
	exit, err := s.sandbox.WaitMain(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.WaitMainResponse{Exit: exitToProto(exit)}, nil
}

func (s *server) ReadMainOutput(req *pluginv1.ReadMainOutputRequest, stream grpc.ServerStreamingServer[pluginv1.ReadMainOutputResponse]) error {
	out := newOutbox(func(k outputKind, b []byte) error {
		if k == kindStderr {
			return stream.Send(&pluginv1.ReadMainOutputResponse{Message: &pluginv1.ReadMainOutputResponse_Stderr{Stderr: b}})
		}
		return stream.Send(&pluginv1.ReadMainOutputResponse{Message: &pluginv1.ReadMainOutputResponse_Stdout{Stdout: b}})
	})
	err := s.sandbox.MainOutput(stream.Context(), req.GetFollow(), out.writer(kindStdout), out.writer(kindStderr))
	if sendErr := out.close(); err == nil {
		err = sendErr
	}
	return errdef.ToStatus(err)
}

func (s *server) Shutdown(ctx context.Context, req *pluginv1.ShutdownRequest) (*pluginv1.ShutdownResponse, error) {
	grace, err := durationFromProto(req.GetGrace())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	if grace > 24*time.Hour {
		return nil, errdef.ToStatus(errdef.New(errdef.ErrInvalid, "grace of %s is longer than a day", grace))
	}
	exit, err := s.sandbox.Shutdown(ctx, grace)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.ShutdownResponse{MainExit: optionalExitToProto(exit)}, nil
}
