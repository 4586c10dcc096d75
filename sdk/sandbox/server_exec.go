package sandbox

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

type execStream = grpc.BidiStreamingServer[pluginv1.ExecRequest, pluginv1.ExecResponse]

// Exec runs the command in the handler's goroutine, while a second one receives. The receiver ends with the stream, and the
// stream with the handler.
func (s *server) Exec(stream execStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetStart() == nil {
		return errdef.ToStatus(broken("the first message of Exec is no start"))
	}
	cmd, err := commandFromProto(first.GetStart())
	if err != nil {
		return errdef.ToStatus(err)
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)

	in := &execInput{cancel: cancel, done: ctx.Done(), control: make(chan Control, 8)}
	if first.GetStart().GetStdin() {
		in.stdin = newInbox()
		defer in.stdin.close()
	}
	go in.receive(stream)

	exit, err := s.run(ctx, cmd, in, stream)
	if err != nil {
		// A breach of the contract cancelled the command; that is what the peer is told.
		if cause := context.Cause(ctx); cause != nil && stream.Context().Err() == nil {
			err = cause
		}
		return errdef.ToStatus(err)
	}
	return stream.Send(&pluginv1.ExecResponse{Message: &pluginv1.ExecResponse_Exit{Exit: exitToProto(exit)}})
}

// run returns once the command has ended and all of its output is sent.
func (s *server) run(ctx context.Context, cmd Command, in *execInput, stream execStream) (Exit, error) {
	// The start is announced from another goroutine than the one that sends output, maybe.
	var sending sync.Mutex
	send := func(resp *pluginv1.ExecResponse) error {
		sending.Lock()
		defer sending.Unlock()
		return stream.Send(resp)
	}
	out := newOutbox(func(k outputKind, b []byte) error {
		if k == kindStderr {
			return send(&pluginv1.ExecResponse{Message: &pluginv1.ExecResponse_Stderr{Stderr: b}})
		}
		return send(&pluginv1.ExecResponse{Message: &pluginv1.ExecResponse_Stdout{Stdout: b}})
	})
	stdio := IO{
		Stdout:  out.writer(kindStdout),
		Stderr:  out.writer(kindStderr),
		Control: in.control,
		Started: func(pid int) {
			// A failure shows in the next message.
			_ = send(&pluginv1.ExecResponse{Message: &pluginv1.ExecResponse_Started{Started: &pluginv1.ExecStarted{Pid: int64(pid)}}})
		},
	}
	if in.stdin != nil {
		stdio.Stdin = in.stdin
	}
	exit, err := s.sandbox.Exec(ctx, cmd, stdio)
	if sendErr := out.close(); err == nil {
		err = sendErr
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return exit, err
}

// execInput is what comes in while a command runs.
type execInput struct {
	cancel  context.CancelCauseFunc
	done    <-chan struct{}
	control chan Control
	stdin   *inbox // nil when the command has none
}

func (in *execInput) receive(stream execStream) {
	err := in.receiveAll(stream)
	if in.stdin != nil {
		in.stdin.end()
	}
	if err != nil && stream.Context().Err() == nil {
		in.cancel(err)
	}
}

// receiveAll returns nil at the end of the requests, which ends the input as well.
func (in *execInput) receiveAll(stream execStream) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := in.take(req); err != nil {
			return err
		}
	}
}

func (in *execInput) take(req *pluginv1.ExecRequest) error {
	switch m := req.GetMessage().(type) {
	case *pluginv1.ExecRequest_Stdin:
		if err := checkChunk(m.Stdin); err != nil {
			return err
		}
		if in.stdin == nil {
			return broken("input for a command that was started without")
		}
		// False means that the command has ended, or its input had: bytes after the end are nobody's.
		in.stdin.put(m.Stdin)
		return nil
	case *pluginv1.ExecRequest_StdinEof:
		if in.stdin != nil {
			in.stdin.end()
		}
		return nil
	case *pluginv1.ExecRequest_Signal:
		return in.pass(Control{Signal: m.Signal})
	case *pluginv1.ExecRequest_Resize:
		size, err := sizeFromProto(m.Resize)
		if err != nil {
			return err
		}
		return in.pass(Control{Resize: &size})
	default:
		return broken("a message of Exec that is no input, signal or size")
	}
}

func (in *execInput) pass(c Control) error {
	if err := c.Check(); err != nil {
		return err
	}
	select {
	case in.control <- c:
	case <-in.done:
	}
	return nil
}
