// Package serve puts the sandbox contract on a listener: the vsock device in a machine, a unix socket in tests.
//
// Whatever connects is hostile until it has shown the token: frames that make no sense end their connection, a handshake
// has a time limit, calls and messages are bounded, and a call that panics is an error of that call.
package serve

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// handshake bounds the time until a connection speaks HTTP/2.
const handshake = 10 * time.Second

// NewServer makes a server that lets calls with token through to s until ended is closed. There is no keepalive: a paused
// machine must find its connections alive when it wakes.
func NewServer(token []byte, s sandbox.Sandbox, ended <-chan struct{}, log *slog.Logger) *grpc.Server {
	guard := guard{log}
	server := grpc.NewServer(append(sandbox.ServerOptions(),
		grpc.ConnectionTimeout(handshake),
		grpc.UnaryInterceptor(guard.unary),
		grpc.StreamInterceptor(guard.stream),
	)...)
	sandbox.Register(server, resolve(token, s, ended))
	return server
}

func resolve(token []byte, s sandbox.Sandbox, ended <-chan struct{}) func([]byte) (sandbox.Sandbox, error) {
	single := sandbox.Single(token, s)
	return func(shown []byte) (sandbox.Sandbox, error) {
		found, err := single(shown)
		if err != nil {
			return nil, err
		}
		select {
		case <-ended:
			return nil, errdef.New(errdef.ErrState, "the sandbox has been shut down")
		default:
			return found, nil
		}
	}
}

// guard keeps a panic in one call from ending the machine.
type guard struct{ log *slog.Logger }

func (g guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
	defer g.recover(info.FullMethod, &err)
	return next(ctx, req)
}

func (g guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer g.recover(info.FullMethod, &err)
	return next(srv, ss)
}

func (g guard) recover(method string, err *error) {
	r := recover()
	if r == nil {
		return
	}
	g.log.Error("a call panicked", "method", method, "panic", r, "stack", string(debug.Stack()))
	*err = errdef.ToStatus(fmt.Errorf("the guest agent panicked in %s: %v", method, r))
}
