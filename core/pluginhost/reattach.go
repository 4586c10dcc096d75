package pluginhost

import (
	"context"
	"encoding/json"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// parseReattach reads what sdk.EnvReattach holds: plugins that somebody started by hand, in a debugger perhaps.
func parseReattach(text string) (map[string]sdk.Reattach, error) {
	plugins := map[string]sdk.Reattach{}
	if text == "" {
		return plugins, nil
	}
	if err := json.Unmarshal([]byte(text), &plugins); err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "%s holds no JSON object of plugins: %w", sdk.EnvReattach, err).
			WithRemedy("copy what the plugin prints when it is run with the argument debug, or unset the variable")
	}
	return plugins, nil
}

// attach uses a plugin that runs already. It is not ours: nothing of it is checked, and Close leaves it alone.
func (h *Host) attach(ctx context.Context, req Request, at sdk.Reattach) (*Instance, error) {
	name := shortName(req.Kind, req.Name)
	if at.Addr.Network != "unix" || at.ProtocolVersion != base.ProtocolVersion {
		return nil, errdef.New(errdef.ErrUnsupported, "%s: plugin %s: want version %d over a unix socket, not version %d over %s",
			sdk.EnvReattach, name, base.ProtocolVersion, at.ProtocolVersion, quote(at.Addr.Network)).WithReason(ReasonProtocol)
	}
	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", at.Addr.String)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(sdk.MaxMessageBytes), grpc.MaxCallSendMsgSize(sdk.MaxMessageBytes)),
	)
	if err != nil {
		return nil, err
	}
	inst := newInstance(h, name, base.Description{})
	inst.use(conn)
	inst.Description, err = inst.base.Info(ctx)
	if err == nil {
		inst.dir, err = h.instanceDir()
	}
	if err != nil {
		conn.Close()
		return nil, errdef.New(errdef.ErrUnavailable, "%s: plugin %s, process %d, cannot be reached: %w", sdk.EnvReattach, name, at.Pid, err).
			WithRemedy("start it again, or unset the variable")
	}
	h.log.Warn("plugin runs elsewhere; nothing of it is checked", "plugin", name, "pid", at.Pid)
	return h.configure(ctx, inst, req)
}
