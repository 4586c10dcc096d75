package base

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Client calls the Base service of a plugin.
type Client struct{ rpc pluginv1.BaseClient }

// NewClient returns a client over conn.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{rpc: pluginv1.NewBaseClient(conn)}
}

// Info asks the plugin who it is. ProtocolVersions, Namespaces and Env do not travel this way: they matter before the plugin
// runs, and are part of its answer to "describe".
func (c *Client) Info(ctx context.Context) (Description, error) {
	resp, err := c.rpc.GetInfo(ctx, &pluginv1.GetInfoRequest{})
	if err != nil {
		return Description{}, errdef.FromStatus(err)
	}
	schema, err := schemaFromProto(resp.GetSchema(), 0)
	if err != nil {
		return Description{}, err
	}
	return Description{
		Kind:         kindFromProto(resp.GetKind()),
		Name:         resp.GetName(),
		Version:      resp.GetVersion(),
		Description:  resp.GetDescription(),
		Capabilities: resp.GetCapabilities(),
		Schema:       schema,
	}, nil
}

// Configure hands over the configuration. The findings are returned in any case; if there is an error among them, they are
// the error too.
func (c *Client) Configure(ctx context.Context, cfg Config) (Diagnostics, error) {
	resp, err := c.rpc.Configure(ctx, &pluginv1.ConfigureRequest{
		Instance:   cfg.Instance,
		ConfigJson: cfg.JSON,
		RuntimeDir: cfg.RuntimeDir,
	})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	diags := diagnosticsFromProto(resp.GetDiagnostics())
	if diags.HasErrors() {
		return diags, diags
	}
	return diags, nil
}

// Drain asks the plugin to finish what it holds.
func (c *Client) Drain(ctx context.Context, grace time.Duration) error {
	_, err := c.rpc.Drain(ctx, &pluginv1.DrainRequest{Grace: durationpb.New(grace)})
	return errdef.FromStatus(err)
}
