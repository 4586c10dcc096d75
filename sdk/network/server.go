package network

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Register serves impl on s.
func Register(s grpc.ServiceRegistrar, impl Network) {
	pluginv1.RegisterNetworkServer(s, &server{impl: impl})
}

type server struct {
	pluginv1.UnimplementedNetworkServer
	impl Network
}

func (s *server) AttachNetwork(ctx context.Context, req *pluginv1.AttachNetworkRequest) (*pluginv1.AttachNetworkResponse, error) {
	a, err := attachmentFromProto(req)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	attached, err := s.impl.Attach(ctx, a)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.AttachNetworkResponse{
		SocketPath: attached.SocketPath, Capabilities: attached.Capabilities, Published: texts(attached.Published),
	}, nil
}

func (s *server) UpdatePolicy(ctx context.Context, req *pluginv1.UpdatePolicyRequest) (*pluginv1.UpdatePolicyResponse, error) {
	p, err := policyFromProto(req.GetPolicy())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	reset, err := s.impl.UpdatePolicy(ctx, p)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.UpdatePolicyResponse{FlowsReset: uint32(max(reset, 0))}, nil
}

func (s *server) Publish(ctx context.Context, req *pluginv1.PublishRequest) (*pluginv1.PublishResponse, error) {
	p, err := publishedFromProto(req.GetPort())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	addr, err := s.impl.Publish(ctx, p)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.PublishResponse{HostAddress: addr.String()}, nil
}

func (s *server) Unpublish(ctx context.Context, req *pluginv1.UnpublishRequest) (*pluginv1.UnpublishResponse, error) {
	proto, err := protocolFromProto(req.GetProtocol())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	port, err := portFromProto("guest", req.GetGuestPort())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.UnpublishResponse{}, errdef.ToStatus(s.impl.Unpublish(ctx, proto, port))
}

func (s *server) Explain(ctx context.Context, req *pluginv1.ExplainRequest) (*pluginv1.ExplainResponse, error) {
	proto, err := protocolFromProto(req.GetProtocol())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	port, err := portFromProto("destination", req.GetPort())
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	v, err := s.impl.Explain(ctx, Flow{Protocol: proto, Host: req.GetHost(), Port: port})
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.ExplainResponse{Action: actionToProto(v.Action), Rule: v.Rule, Reason: v.Reason}, nil
}

func (s *server) WatchFlows(_ *pluginv1.WatchFlowsRequest, stream grpc.ServerStreamingServer[pluginv1.WatchFlowsResponse]) error {
	return errdef.ToStatus(s.impl.Watch(stream.Context(), func(e Event) error {
		return stream.Send(eventToProto(e))
	}))
}

func (s *server) GetNetworkStats(ctx context.Context, _ *pluginv1.GetNetworkStatsRequest) (*pluginv1.GetNetworkStatsResponse, error) {
	counters, err := s.impl.Stats(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.GetNetworkStatsResponse{Counters: counters}, nil
}

func (s *server) CapturePackets(req *pluginv1.CapturePacketsRequest, stream grpc.ServerStreamingServer[pluginv1.CapturePacketsResponse]) error {
	c := Capture{SnapLength: int(req.GetSnapLength()), MaxBytes: req.GetMaxBytes()}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultCaptureBytes
	}
	return errdef.ToStatus(s.impl.Capture(stream.Context(), c, captureWriter{stream}))
}

// captureChunk is how much of a capture travels in one message.
const captureChunk = 64 << 10

type captureWriter struct {
	stream grpc.ServerStreamingServer[pluginv1.CapturePacketsResponse]
}

func (w captureWriter) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n := min(len(p), captureChunk)
		if err := w.stream.Send(&pluginv1.CapturePacketsResponse{Data: p[:n]}); err != nil {
			return sent, err
		}
		sent, p = sent+n, p[n:]
	}
	return sent, nil
}
