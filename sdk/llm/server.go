package llm

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Register serves impl as the LLM service of s.
func Register(s grpc.ServiceRegistrar, impl LLM) {
	pluginv1.RegisterLLMServer(s, &server{impl: impl})
}

type server struct {
	pluginv1.UnimplementedLLMServer
	impl LLM
}

func (s *server) DescribeLLM(ctx context.Context, _ *pluginv1.DescribeLLMRequest) (*pluginv1.DescribeLLMResponse, error) {
	d, err := s.impl.Describe(ctx)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return descriptionToProto(d), nil
}

func (s *server) PlanCLI(ctx context.Context, req *pluginv1.PlanCLIRequest) (*pluginv1.PlanCLIResponse, error) {
	p, err := s.impl.PlanCLI(ctx, cliRequestFromProto(req))
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return cliPlanToProto(p), nil
}

func (s *server) ParseCLI(stream grpc.BidiStreamingServer[pluginv1.ParseCLIRequest, pluginv1.ParseCLIResponse]) error {
	parser, err := s.impl.ParseCLI(stream.Context())
	if err != nil {
		return errdef.ToStatus(err)
	}
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return sendEvents(stream, parser.Close)
		}
		if err != nil {
			return err
		}
		if len(req.GetLine()) > MaxLineBytes {
			return errdef.ToStatus(errdef.New(errdef.ErrInvalid, "line of %d bytes, at most %d are allowed", len(req.GetLine()), MaxLineBytes))
		}
		if err := sendEvents(stream, func() ([]Event, error) { return parser.Line(req.GetLine()) }); err != nil {
			return err
		}
	}
}

func sendEvents(stream grpc.BidiStreamingServer[pluginv1.ParseCLIRequest, pluginv1.ParseCLIResponse], next func() ([]Event, error)) error {
	events, err := next()
	if err != nil {
		return errdef.ToStatus(err)
	}
	resp := &pluginv1.ParseCLIResponse{}
	for _, e := range events {
		pe, err := eventToProto(e)
		if err != nil {
			return errdef.ToStatus(err)
		}
		resp.Events = append(resp.Events, pe)
	}
	return stream.Send(resp)
}

func (s *server) Complete(req *pluginv1.CompleteRequest, stream grpc.ServerStreamingServer[pluginv1.CompleteResponse]) error {
	r, err := requestFromProto(req)
	if err != nil {
		return errdef.ToStatus(err)
	}
	turn, err := s.impl.Complete(stream.Context(), r, func(p Progress) error {
		switch {
		case p.Delta != nil:
			return stream.Send(&pluginv1.CompleteResponse{Message: &pluginv1.CompleteResponse_Delta{Delta: textToProto(*p.Delta)}})
		case p.Retry != nil:
			return stream.Send(&pluginv1.CompleteResponse{Message: &pluginv1.CompleteResponse_Retry{Retry: retryToProto(*p.Retry)}})
		}
		return nil
	})
	if err != nil {
		return errdef.ToStatus(err)
	}
	if err := checkTurn(turn); err != nil {
		return errdef.ToStatus(err)
	}
	pt, err := turnToProto(turn)
	if err != nil {
		return errdef.ToStatus(err)
	}
	return stream.Send(&pluginv1.CompleteResponse{Message: &pluginv1.CompleteResponse_Turn{Turn: pt}})
}
