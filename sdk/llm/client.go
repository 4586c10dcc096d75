package llm

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// NewClient returns the provider that is served at the far end of conn.
func NewClient(conn grpc.ClientConnInterface) LLM {
	return &client{rpc: pluginv1.NewLLMClient(conn)}
}

type client struct{ rpc pluginv1.LLMClient }

func (c *client) Describe(ctx context.Context) (Description, error) {
	d, err := c.rpc.DescribeLLM(ctx, &pluginv1.DescribeLLMRequest{})
	if err != nil {
		return Description{}, errdef.FromStatus(err)
	}
	return descriptionFromProto(d)
}

func (c *client) PlanCLI(ctx context.Context, req CLIRequest) (CLIPlan, error) {
	p, err := c.rpc.PlanCLI(ctx, cliRequestToProto(req))
	if err != nil {
		return CLIPlan{}, errdef.FromStatus(err)
	}
	plan := cliPlanFromProto(p)
	return plan, checkPlan(plan)
}

// ParseCLI asks for the stream at once, but a provider without mode a is heard only at the first line.
func (c *client) ParseCLI(ctx context.Context) (Parser, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.rpc.ParseCLI(ctx)
	if err != nil {
		cancel()
		return nil, errdef.FromStatus(err)
	}
	return &parser{stream: stream, cancel: cancel}, nil
}

type parser struct {
	stream grpc.BidiStreamingClient[pluginv1.ParseCLIRequest, pluginv1.ParseCLIResponse]
	cancel context.CancelFunc
	closed bool
}

func (p *parser) Line(line []byte) ([]Event, error) {
	if p.closed {
		return nil, errdef.New(errdef.ErrState, "the parser is closed")
	}
	if len(line) > MaxLineBytes {
		return nil, errdef.New(errdef.ErrInvalid, "line of %d bytes, at most %d are allowed", len(line), MaxLineBytes)
	}
	// A failed Send says only EOF; the reason is what Recv returns.
	if err := p.stream.Send(&pluginv1.ParseCLIRequest{Line: line}); err != nil && !errors.Is(err, io.EOF) {
		return nil, p.fail(err)
	}
	return p.events()
}

func (p *parser) Close() ([]Event, error) {
	if p.closed {
		return nil, nil
	}
	defer func() { p.closed = true; p.cancel() }()
	if err := p.stream.CloseSend(); err != nil {
		return nil, p.fail(err)
	}
	events, err := p.events()
	if err != nil {
		return nil, err
	}
	if _, err := p.stream.Recv(); !errors.Is(err, io.EOF) {
		return nil, broken("the parser goes on after its end")
	}
	return events, nil
}

func (p *parser) events() ([]Event, error) {
	resp, err := p.stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, p.fail(broken("the parser ended before its input"))
	}
	if err != nil {
		return nil, p.fail(err)
	}
	if len(resp.GetEvents()) > MaxParts {
		return nil, p.fail(broken("%d events for one line, at most %d are allowed", len(resp.GetEvents()), MaxParts))
	}
	var events []Event
	for _, pe := range resp.GetEvents() {
		e, err := eventFromProto(pe)
		if err != nil {
			return nil, p.fail(err)
		}
		events = append(events, e)
	}
	return events, nil
}

func (p *parser) fail(err error) error {
	p.closed = true
	p.cancel()
	return errdef.FromStatus(err)
}

func (c *client) Complete(ctx context.Context, req Request, progress func(Progress) error) (Turn, error) {
	preq, err := requestToProto(req)
	if err != nil {
		return Turn{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Complete(ctx, preq)
	if err != nil {
		return Turn{}, errdef.FromStatus(err)
	}
	turn, err := receiveTurn(stream, progress)
	if err != nil {
		return Turn{}, err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		if err != nil {
			return Turn{}, errdef.FromStatus(err)
		}
		return Turn{}, broken("a message follows the turn")
	}
	return turn, nil
}

func receiveTurn(stream grpc.ServerStreamingClient[pluginv1.CompleteResponse], progress func(Progress) error) (Turn, error) {
	bytes := 0
	for range MaxProgress {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return Turn{}, broken("the answer ended without a turn")
		}
		if err != nil {
			return Turn{}, errdef.FromStatus(err)
		}
		var step Progress
		switch m := resp.GetMessage().(type) {
		case *pluginv1.CompleteResponse_Turn:
			turn, err := turnFromProto(m.Turn)
			if err != nil {
				return Turn{}, err
			}
			return turn, checkTurn(turn)
		case *pluginv1.CompleteResponse_Delta:
			bytes += len(m.Delta.GetText())
			if bytes > MaxDeltaBytes {
				return Turn{}, broken("deltas of more than %d bytes", MaxDeltaBytes)
			}
			delta := textFromProto(m.Delta)
			step.Delta = &delta
		case *pluginv1.CompleteResponse_Retry:
			retry := retryFromProto(m.Retry)
			step.Retry = &retry
		default:
			return Turn{}, broken("a message without a known payload")
		}
		if progress == nil {
			continue
		}
		if err := progress(step); err != nil {
			return Turn{}, err
		}
	}
	return Turn{}, broken("more than %d deltas and retries before the turn", MaxProgress)
}
