package sandbox

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Exec costs three messages when there is neither input nor output: start, which also ends the requests, started, and exit.
func (c *client) Exec(ctx context.Context, cmd Command, stdio IO) (Exit, error) {
	if err := cmd.Check(); err != nil {
		return Exit{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.rpc.Exec(c.auth(ctx))
	if err != nil {
		return Exit{}, errdef.FromStatus(err)
	}
	start := &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Start{Start: commandToProto(cmd, stdio.Stdin != nil)}}
	// A failed Send says only EOF; the reason is what Recv returns.
	if err := stream.Send(start); err != nil && !errors.Is(err, io.EOF) {
		return Exit{}, errdef.FromStatus(err)
	}
	stop := startRequests(ctx, cancel, stream, stdio)
	exit, err := receiveExec(stream, stdio)
	if err != nil && ctx.Err() != nil {
		// What broke off the requests is why the answers broke off, unless the caller cancelled.
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
			err = cause
		}
	}
	cancel(nil)
	stop()
	return exit, err
}

// receiveExec hands on what the command writes, and returns when it has ended.
func receiveExec(stream grpc.BidiStreamingClient[pluginv1.ExecRequest, pluginv1.ExecResponse], stdio IO) (Exit, error) {
	started := false
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return Exit{}, broken("the answers ended without an exit")
		}
		if err != nil {
			return Exit{}, errdef.FromStatus(err)
		}
		switch m := resp.GetMessage().(type) {
		case *pluginv1.ExecResponse_Started:
			if started || m.Started.GetPid() < 0 {
				return Exit{}, broken("a second start, or process id %d", m.Started.GetPid())
			}
			started = true
			if stdio.Started != nil {
				stdio.Started(int(m.Started.GetPid()))
			}
		case *pluginv1.ExecResponse_Stdout:
			err = writeChunk(stdio.Stdout, m.Stdout)
		case *pluginv1.ExecResponse_Stderr:
			err = writeChunk(stdio.Stderr, m.Stderr)
		case *pluginv1.ExecResponse_Exit:
			exit, err := exitFromProto(m.Exit)
			if err != nil {
				return Exit{}, err
			}
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				return Exit{}, broken("the answers go on after the exit (%v)", err)
			}
			return exit, nil
		default:
			err = broken("a message of Exec that is no output and no exit")
		}
		if err != nil {
			return Exit{}, err
		}
	}
}

// requests sends what a running command receives: input and controls, each from a goroutine of its own.
type requests struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	stream grpc.BidiStreamingClient[pluginv1.ExecRequest, pluginv1.ExecResponse]
}

// startRequests starts the goroutines that are needed, if any, and returns what ends them once ctx is cancelled.
func startRequests(ctx context.Context, cancel context.CancelCauseFunc, stream grpc.BidiStreamingClient[pluginv1.ExecRequest, pluginv1.ExecResponse], stdio IO) func() {
	if stdio.Stdin == nil && stdio.Control == nil {
		_ = stream.CloseSend() // never fails
		return func() {}
	}
	r := &requests{ctx: ctx, cancel: cancel, stream: stream}
	var controls sync.WaitGroup
	if stdio.Control != nil {
		controls.Go(func() { r.sendControls(stdio.Control) })
	}
	input := make(chan struct{})
	if stdio.Stdin == nil {
		close(input)
	} else {
		go func() {
			defer close(input)
			r.sendInput(stdio.Stdin, stdio.Control == nil)
		}()
	}
	return func() {
		controls.Wait()
		interrupt(stdio.Stdin, input)
	}
}

// interrupt waits for the end of the goroutine that reads stdin, if its Read can be ended; done tells.
func interrupt(stdin io.Reader, done <-chan struct{}) {
	select {
	case <-done:
		return
	default:
	}
	d, ok := stdin.(interface{ SetReadDeadline(time.Time) error })
	if !ok || d.SetReadDeadline(time.Unix(1, 0)) != nil {
		return
	}
	<-done
	_ = d.SetReadDeadline(time.Time{})
}

func (r *requests) send(req *pluginv1.ExecRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return r.stream.Send(req)
}

// sendInput copies the input. A reader that fails ends the command, since the rest of its input will never come.
func (r *requests) sendInput(stdin io.Reader, only bool) {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for {
		n, err := stdin.Read(*buf)
		if n > 0 {
			if r.send(&pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Stdin{Stdin: (*buf)[:n]}}) != nil {
				return // the stream has ended; Recv says why
			}
		}
		if errors.Is(err, io.EOF) {
			r.endInput(only)
			return
		}
		if err != nil {
			if r.ctx.Err() == nil {
				r.cancel(errdef.New(errdef.ErrAborted, "read standard input: %w", err))
			}
			return
		}
	}
}

// endInput ends the requests altogether when nothing but input was to come.
func (r *requests) endInput(only bool) {
	if only {
		r.mu.Lock()
		defer r.mu.Unlock()
		_ = r.stream.CloseSend() // never fails
		return
	}
	_ = r.send(&pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_StdinEof{StdinEof: true}})
}

func (r *requests) sendControls(controls <-chan Control) {
	for {
		select {
		case <-r.ctx.Done():
			return
		case c, ok := <-controls:
			if !ok {
				return
			}
			if err := c.Check(); err != nil {
				r.cancel(err)
				return
			}
			req := &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Signal{Signal: c.Signal}}
			if c.Resize != nil {
				req.Message = &pluginv1.ExecRequest_Resize{Resize: sizeToProto(*c.Resize)}
			}
			if r.send(req) != nil {
				return
			}
		}
	}
}
