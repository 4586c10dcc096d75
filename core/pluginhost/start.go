package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Request names a plugin to start.
type Request struct {
	Kind     base.Kind
	Name     string
	Instance string          // label of the block that asks for it, for logs
	Config   json.RawMessage // the block, as the plugin's schema describes it; nil means an empty one
}

var errStartTimeout = errors.New("start took too long")

// Start starts a plugin of its own for the request and configures it. Plugins may be started in parallel. The caller closes
// the instance, or lets the host do so. Errors of the configuration are base.Diagnostics.
func (h *Host) Start(ctx context.Context, req Request) (*Instance, error) {
	ctx, end, err := h.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if at, ok := h.reattach[shortName(req.Kind, req.Name)]; ok {
		return h.attach(ctx, req, at)
	}
	c, err := h.find(req.Kind, req.Name)
	if err != nil {
		return nil, err
	}
	img, desc, err := h.inspect(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := h.remember(c, img, desc.Version); err != nil {
		return nil, err
	}
	inst, err := h.launch(ctx, c, img, desc)
	if err != nil {
		return nil, err
	}
	return h.configure(ctx, inst, req)
}

// limit ends ctx after d, for the given reason. Unlike a deadline it does not travel with a call: a plugin would notice it too,
// and whether its answer or ours came first would be chance.
func limit(ctx context.Context, d time.Duration, reason error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(reason) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// configure hands over the configuration; the instance is the host's from here on.
func (h *Host) configure(ctx context.Context, inst *Instance, req Request) (*Instance, error) {
	h.mu.Lock()
	h.instances[inst] = struct{}{}
	h.mu.Unlock()

	cfg := base.Config{Instance: req.Instance, JSON: req.Config, RuntimeDir: inst.dir}
	if cfg.Instance == "" {
		cfg.Instance = req.Name
	}
	if len(cfg.JSON) == 0 {
		cfg.JSON = json.RawMessage("{}")
	}
	ctx, cancel := limit(ctx, h.opt.StartTimeout, errStartTimeout)
	defer cancel()
	diags, err := inst.base.Configure(ctx, cfg)
	for _, d := range diags {
		if d.Severity == base.Warning {
			h.log.Warn(d.Summary, "plugin", inst.name, "detail", d.Detail)
		}
	}
	if err != nil {
		if context.Cause(ctx) == errStartTimeout {
			err = inst.timeout("to be configured")
		}
		// The plugin is of no use, and what it could say about its end is of no interest.
		inst.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("configure plugin %s: %w", inst.name, err)
	}
	return inst, nil
}

// launch starts the process and shakes hands. The first call is that which configures it: what the plugin is, "describe" has
// told.
func (h *Host) launch(ctx context.Context, c candidate, img *image, desc base.Description) (*Instance, error) {
	dir, err := h.instanceDir()
	if err != nil {
		return nil, err
	}
	inst := newInstance(h, c.String(), desc)
	inst.dir = dir
	inst.proc = newProcess(inst.name, dir, h.log)
	inst.proc.tls = c.ThirdParty
	inst.client = plugin.NewClient(h.clientConfig(inst, c, img))

	ctx, cancel := limit(ctx, h.opt.StartTimeout, errStartTimeout)
	defer cancel()
	// Whatever holds the start up, the end of ctx kills the process and so ends the wait.
	disarm := context.AfterFunc(ctx, inst.proc.kill)
	err = inst.connect()
	if !disarm() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		err = inst.whyNotStarted(ctx, err)
		inst.discard()
		return nil, err
	}
	return inst, nil
}

// clientConfig says what go-plugin may do: the handshake, TLS and the stdio stream. The rest is in process.
func (h *Host) clientConfig(inst *Instance, c candidate, img *image) *plugin.ClientConfig {
	env := append(h.cleanEnv(inst.name, inst.Description.Env), sdk.EnvLifeline+"="+lifelineFD, sdk.EnvRuntimeDir+"="+inst.dir)
	return &plugin.ClientConfig{
		HandshakeConfig:  sdk.Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{base.ProtocolVersion: {}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         c.ThirdParty,
		SkipHostEnv:      true,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: inst.dir},
		StartTimeout:     math.MaxInt64, // launch has its own
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       inst.proc.filter,
		SyncStderr:       inst.proc.filter,
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			inst.proc.start = func(files childFiles) (*exec.Cmd, error) {
				return h.spawn(c, img, inst.Description.Namespaces, append(env, cmd.Env...), files)
			}
			return inst.proc, nil
		},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithContextDialer(inst.proc.dial),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(sdk.MaxMessageBytes), grpc.MaxCallSendMsgSize(sdk.MaxMessageBytes)),
			grpc.WithUnaryInterceptor(inst.explainUnary),
			grpc.WithStreamInterceptor(inst.explainStream),
		},
	}
}

// spawn executes an image, in namespaces of its own where the system allows them.
func (h *Host) spawn(c candidate, img *image, namespaces, env []string, files childFiles) (*exec.Cmd, error) {
	cmd := img.command(c, nil, env, namespaces, files)
	err := h.launcher.start(cmd)
	if err != nil && len(namespaces) > 0 && namespacesRefused(err) {
		h.log.Warn("plugin runs without namespaces of its own: the system refuses them", "plugin", c.String(), "namespaces", namespaces, "error", err)
		cmd = img.command(c, nil, env, nil, files)
		err = h.launcher.start(cmd)
	}
	if err != nil {
		return nil, startError(c, err)
	}
	return cmd, nil
}

// connect shakes hands. Its last step is the stdio stream, so the connection stands when it returns.
func (i *Instance) connect() error {
	if _, err := i.client.Start(); err != nil {
		return err
	}
	rpc, err := i.client.Client()
	if err != nil {
		return err
	}
	i.use(rpc.(*plugin.GRPCClient).Conn)
	return nil
}

// whyNotStarted finds the reason behind an error of connect, which mostly has seen no more than a closed pipe.
func (i *Instance) whyNotStarted(ctx context.Context, err error) error {
	var exit *ExitError
	if known := i.proc.reason(); known != nil {
		return known
	}
	if errors.As(err, &exit) {
		exit.When = "while it started"
		return exit
	}
	if !i.proc.running() {
		return err
	}
	if i.conn == nil && ctx.Err() == nil {
		// It closed standard output without a handshake. It is about to end, or never will.
		select {
		case <-i.proc.exited:
			return i.proc.cause("before the handshake")
		case <-ctx.Done():
		}
	}
	if context.Cause(ctx) == errStartTimeout {
		return i.timeout("to start")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (i *Instance) timeout(what string) error {
	err := errdef.New(errdef.ErrAborted, "plugin %s took longer than %s %s", i.name, i.host.opt.StartTimeout, what).WithReason(ReasonTimeout)
	if i.proc == nil {
		return err
	}
	if lines := i.proc.filter.lastLines(); len(lines) > 0 {
		return err.WithRemedy("the last thing it said: %s", lines[len(lines)-1])
	}
	return err.WithRemedy("run it again with --verbose, which shows what plugins log; on a machine that is very busy, try again")
}
