package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// tokenKey is the metadata key of the token. The suffix tells gRPC that the value is binary.
const tokenKey = "voidbox-token-bin"

// Single resolves one token to one sandbox, comparing in constant time. It is what a guest agent registers.
func Single(token []byte, s Sandbox) func(token []byte) (Sandbox, error) {
	want := sha256.Sum256(token)
	return func(token []byte) (Sandbox, error) {
		got := sha256.Sum256(token)
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			return nil, errToken
		}
		return s, nil
	}
}

var errToken = errdef.New(errdef.ErrUnauthenticated, "the token of the call selects no sandbox")

// authorised puts the token into the metadata of a call, and nothing else that the caller's context may carry.
func authorised(ctx context.Context, token []byte) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(tokenKey, string(token)))
}

// guard is the generated service with a check in front of every handler, so that a call without the right token is refused
// before its first message is decoded and before any interceptor sees it. The handler then runs on a server that holds
// nothing but the sandbox that the token selects.
func guard(resolve func(token []byte) (Sandbox, error)) *grpc.ServiceDesc {
	desc := pluginv1.Sandbox_ServiceDesc
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range desc.Methods {
		handler := desc.Methods[i].Handler
		desc.Methods[i].Handler = func(_ any, ctx context.Context, dec func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			s, err := authenticate(ctx, resolve)
			if err != nil {
				return nil, errdef.ToStatus(err)
			}
			return handler(&server{sandbox: s}, ctx, dec, chain)
		}
	}
	desc.Streams = append([]grpc.StreamDesc(nil), desc.Streams...)
	for i := range desc.Streams {
		handler := desc.Streams[i].Handler
		desc.Streams[i].Handler = func(_ any, stream grpc.ServerStream) error {
			s, err := authenticate(stream.Context(), resolve)
			if err != nil {
				return errdef.ToStatus(err)
			}
			return handler(&server{sandbox: s}, stream)
		}
	}
	return &desc
}

func authenticate(ctx context.Context, resolve func(token []byte) (Sandbox, error)) (Sandbox, error) {
	values := metadata.ValueFromIncomingContext(ctx, tokenKey)
	if len(values) != 1 || len(values[0]) != TokenSize {
		return nil, errToken
	}
	return resolve([]byte(values[0]))
}
