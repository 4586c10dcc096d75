package network

import (
	"context"
	"errors"
	"io"
	"net/netip"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// NewClient returns the network at the other end of conn, which stays the caller's to close.
func NewClient(conn grpc.ClientConnInterface) Network {
	return &client{rpc: pluginv1.NewNetworkClient(conn)}
}

type client struct{ rpc pluginv1.NetworkClient }

func (c *client) Attach(ctx context.Context, a Attachment) (Attached, error) {
	req, err := attachmentToProto(a)
	if err != nil {
		return Attached{}, err
	}
	resp, err := c.rpc.AttachNetwork(ctx, req)
	if err != nil {
		return Attached{}, errdef.FromStatus(err)
	}
	published, err := parseAll(resp.GetPublished(), netip.ParseAddrPort)
	if err != nil || len(published) != len(a.Published) {
		return Attached{}, errdef.New(errdef.ErrDataLoss, "network contract violated: %d ports were to be published, and it names the addresses %.256q",
			len(a.Published), resp.GetPublished()).WithReason("contract_violated")
	}
	return Attached{SocketPath: resp.GetSocketPath(), Capabilities: resp.GetCapabilities(), Published: published}, nil
}

func (c *client) UpdatePolicy(ctx context.Context, p Policy) (int, error) {
	policy, err := policyToProto(p)
	if err != nil {
		return 0, err
	}
	resp, err := c.rpc.UpdatePolicy(ctx, &pluginv1.UpdatePolicyRequest{Policy: policy})
	if err != nil {
		return 0, errdef.FromStatus(err)
	}
	return int(resp.GetFlowsReset()), nil
}

func (c *client) Publish(ctx context.Context, p PublishedPort) (netip.AddrPort, error) {
	resp, err := c.rpc.Publish(ctx, &pluginv1.PublishRequest{Port: publishedToProto(p)})
	if err != nil {
		return netip.AddrPort{}, errdef.FromStatus(err)
	}
	addr, err := netip.ParseAddrPort(resp.GetHostAddress())
	if err != nil {
		return addr, errdef.New(errdef.ErrInvalid, "network publishes at a strange address: %w", err)
	}
	return addr, nil
}

func (c *client) Unpublish(ctx context.Context, proto Protocol, guestPort uint16) error {
	_, err := c.rpc.Unpublish(ctx, &pluginv1.UnpublishRequest{Protocol: string(proto), GuestPort: uint32(guestPort)})
	return errdef.FromStatus(err)
}

func (c *client) Explain(ctx context.Context, f Flow) (Verdict, error) {
	resp, err := c.rpc.Explain(ctx, &pluginv1.ExplainRequest{Protocol: string(f.Protocol), Host: f.Host, Port: uint32(f.Port)})
	if err != nil {
		return Verdict{}, errdef.FromStatus(err)
	}
	return Verdict{Action: actionFromProto(resp.GetAction()), Rule: resp.GetRule(), Reason: resp.GetReason()}, nil
}

func (c *client) Watch(ctx context.Context, fn func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.WatchFlows(ctx, &pluginv1.WatchFlowsRequest{})
	if err != nil {
		return errdef.FromStatus(err)
	}
	return receive(stream, func(resp *pluginv1.WatchFlowsResponse) error {
		e, ok := eventFromProto(resp)
		if !ok {
			return nil
		}
		return fn(e)
	})
}

func (c *client) Stats(ctx context.Context) (map[string]uint64, error) {
	resp, err := c.rpc.GetNetworkStats(ctx, &pluginv1.GetNetworkStatsRequest{})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	return resp.GetCounters(), nil
}

func (c *client) Capture(ctx context.Context, capture Capture, w io.Writer) error {
	if capture.SnapLength < 0 {
		return errdef.New(errdef.ErrInvalid, "a snap length of %d bytes is negative", capture.SnapLength)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.CapturePackets(ctx, &pluginv1.CapturePacketsRequest{
		SnapLength: uint32(capture.SnapLength), MaxBytes: capture.MaxBytes,
	})
	if err != nil {
		return errdef.FromStatus(err)
	}
	return receive(stream, func(resp *pluginv1.CapturePacketsResponse) error {
		_, err := w.Write(resp.GetData())
		return err
	})
}

// receive calls fn with every message of a stream. An error of fn is returned as it is.
func receive[T any](stream grpc.ServerStreamingClient[T], fn func(*T) error) error {
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errdef.FromStatus(err)
		}
		if err := fn(msg); err != nil {
			return err
		}
	}
}
