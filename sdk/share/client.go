package share

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// NewClient returns the share at the other end of conn, which stays the caller's to close.
func NewClient(conn grpc.ClientConnInterface) Share {
	return &client{rpc: pluginv1.NewShareClient(conn)}
}

type client struct{ rpc pluginv1.ShareClient }

func (c *client) Attach(ctx context.Context, a Attachment) (string, error) {
	req, err := attachmentToProto(a)
	if err != nil {
		return "", err
	}
	resp, err := c.rpc.AttachShare(ctx, req)
	if err != nil {
		return "", errdef.FromStatus(err)
	}
	return resp.GetSocketPath(), nil
}

func (c *client) SaveHandles(ctx context.Context) ([]byte, error) {
	resp, err := c.rpc.SaveHandles(ctx, &pluginv1.SaveHandlesRequest{})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	return resp.GetState(), nil
}

func (c *client) LoadHandles(ctx context.Context, state []byte) (int, error) {
	resp, err := c.rpc.LoadHandles(ctx, &pluginv1.LoadHandlesRequest{State: state})
	if err != nil {
		return 0, errdef.FromStatus(err)
	}
	return int(resp.GetStale()), nil
}

func (c *client) Stats(ctx context.Context) (map[string]uint64, error) {
	resp, err := c.rpc.GetShareStats(ctx, &pluginv1.GetShareStatsRequest{})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	return resp.GetCounters(), nil
}
