package pluginhost

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// gRPC tells a caller that the connection is gone, or that a message is too long, and not whose. The functions here replace that by why: the plugin's exit status and what
// it said last. Typed clients hand an *ExitError through, since it is no status.

func (i *Instance) explainUnary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, conn, opts...)
	if err == nil || !explainable(method) {
		return err
	}
	return i.explain(ctx, err)
}

func (i *Instance) explainStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if !explainable(method) {
		return stream, err
	}
	if err != nil {
		return nil, i.explain(ctx, err)
	}
	return &explainedStream{ClientStream: stream, inst: i, ctx: ctx}, nil
}

type explainedStream struct {
	grpc.ClientStream
	inst *Instance
	ctx  context.Context // the caller's; that of the stream has ended by the time of an error
}

// RecvMsg is where a stream's error shows; SendMsg only says io.EOF.
func (s *explainedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		return nil
	}
	return s.inst.explain(s.ctx, err)
}

// explainable leaves out the calls by which an explanation is found, and go-plugin's own.
func explainable(method string) bool { return strings.HasPrefix(method, "/voidbox.plugin.v1.") }

// exitLimit bounds the wait for the end of a process that answers no more.
const exitLimit = 5 * time.Second

// explain returns the death of the process if that is what stands behind err. A plugin that still answers has sent the error
// itself; one that does not is dead, or about to be.
func (i *Instance) explain(ctx context.Context, err error) error {
	if st := status.Convert(err); st.Code() == codes.ResourceExhausted && strings.Contains(st.Message(), "received message larger than max") {
		return errdef.New(errdef.ErrExhausted, "a message between voidbox and plugin %s is longer than the %d MiB that are allowed", i.name, sdk.MaxMessageBytes>>20).
			WithReason(ReasonMessage).WithRemedy("nothing that voidbox asks for is so long: the plugin is broken, or not the one you meant")
	}
	if status.Code(err) != codes.Unavailable || i.isClosing() || i.Ping(ctx) == nil {
		return err
	}
	if known := i.proc.reason(); known != nil {
		return known
	}
	select {
	case <-i.proc.exited:
	case <-i.closing:
		return err
	case <-ctx.Done():
		return err
	case <-time.After(exitLimit):
		return err
	}
	if cause := i.proc.cause(""); cause != nil {
		return cause
	}
	return err
}

func (i *Instance) isClosing() bool {
	select {
	case <-i.closing:
		return true
	default:
		return false
	}
}
