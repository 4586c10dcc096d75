package sdk

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// instance is a plugin that runs. It stands in front of the contract and keeps its order: configure, then calls, then drain.
type instance struct {
	plugin Plugin
	// reconfigurable is set for debugging, where one process outlives many hosts.
	reconfigurable bool

	mu         sync.Mutex
	configured bool
	draining   bool
	active     int           // unary calls of the contract in flight
	idle       chan struct{} // closed when draining and active is 0

	drainOnce sync.Once
	drainErr  error
}

func newInstance(p Plugin) *instance {
	return &instance{plugin: p, configured: p.Configure == nil, idle: make(chan struct{})}
}

func (i *instance) newServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts,
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.ChainUnaryInterceptor(i.unary),
		grpc.ChainStreamInterceptor(i.stream),
	)...)
}

func (i *instance) register(s grpc.ServiceRegistrar) error {
	c, err := i.plugin.contract()
	if err != nil {
		return err
	}
	base.Register(s, i)
	c.register(s)
	return nil
}

// Info implements base.Server.
func (i *instance) Info() base.Description {
	// Serve has checked the plugin, so the error is nil.
	desc, _ := i.plugin.Describe()
	return desc
}

// Configure implements base.Server.
func (i *instance) Configure(ctx context.Context, c base.Config) error {
	if i.plugin.Configure == nil {
		return nil
	}
	i.mu.Lock()
	again := i.configured && !i.reconfigurable
	i.mu.Unlock()
	if again {
		return errdef.New(errdef.ErrState, "plugin %s is configured already", i.plugin.Name)
	}
	err := i.plugin.Configure(ctx, c)
	if diags, ok := err.(base.Diagnostics); err == nil || ok && !diags.HasErrors() {
		i.mu.Lock()
		i.configured = true
		i.mu.Unlock()
	}
	return err
}

// Drain implements base.Server. The first call decides how it ends; later ones wait for it and get the same result.
func (i *instance) Drain(ctx context.Context, grace time.Duration) error {
	if i.reconfigurable {
		return nil
	}
	i.drainOnce.Do(func() {
		if grace > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, grace)
			defer cancel()
		}
		i.drainErr = i.drain(ctx)
	})
	return i.drainErr
}

func (i *instance) drain(ctx context.Context) error {
	i.mu.Lock()
	i.draining = true
	if i.active == 0 {
		close(i.idle)
	}
	i.mu.Unlock()
	select {
	case <-i.idle:
	case <-ctx.Done():
	}
	if i.plugin.Drain == nil {
		return ctx.Err()
	}
	return i.plugin.Drain(ctx)
}

// enter admits a call of the contract, or says why not. The caller calls leave when it was admitted.
func (i *instance) enter() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.draining {
		return errdef.New(errdef.ErrUnavailable, "plugin %s is shutting down", i.plugin.Name)
	}
	if !i.configured {
		return errdef.New(errdef.ErrState, "plugin %s is not configured", i.plugin.Name)
	}
	i.active++
	return nil
}

func (i *instance) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active--
	if i.draining && i.active == 0 {
		close(i.idle)
	}
}

// isContract tells calls of the plugin's own contract from Base and from go-plugin's services.
func isContract(method string) bool {
	return strings.HasPrefix(method, "/voidbox.plugin.v1.") && !strings.HasPrefix(method, "/voidbox.plugin.v1.Base/")
}

func (i *instance) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if !isContract(info.FullMethod) {
		return next(ctx, req)
	}
	if err := i.enter(); err != nil {
		return nil, errdef.ToStatus(err)
	}
	defer i.leave()
	return next(ctx, req)
}

// stream admits streams without counting them: one that watches ends only with its caller, so a drain must not wait for it.
func (i *instance) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !isContract(info.FullMethod) {
		return next(srv, ss)
	}
	if err := i.enter(); err != nil {
		return errdef.ToStatus(err)
	}
	i.leave()
	return next(srv, ss)
}
