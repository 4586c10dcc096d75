package llm

import (
	"encoding/json"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

var roles = map[Role]pluginv1.Message_Role{User: pluginv1.Message_ROLE_USER, Assistant: pluginv1.Message_ROLE_ASSISTANT}

var stopReasons = map[StopReason]pluginv1.Turn_StopReason{
	EndTurn: pluginv1.Turn_STOP_REASON_END_TURN, ToolUse: pluginv1.Turn_STOP_REASON_TOOL_USE,
	MaxTokens: pluginv1.Turn_STOP_REASON_MAX_TOKENS, Refusal: pluginv1.Turn_STOP_REASON_REFUSAL,
}

func requestToProto(r Request) (*pluginv1.CompleteRequest, error) {
	out := &pluginv1.CompleteRequest{
		Conversation: text(r.Conversation), Model: r.Model, System: text(r.System), MaxOutputTokens: count(r.MaxOutputTokens),
		Temperature: r.Temperature,
		Tools: convert(r.Tools, func(t Tool) *pluginv1.Tool {
			return &pluginv1.Tool{Name: t.Name, Description: text(t.Description), InputSchemaJson: t.InputSchema}
		}),
	}
	for i, m := range r.Messages {
		pm, err := messageToProto(m)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "message %d: %w", i, err)
		}
		out.Messages = append(out.Messages, pm)
	}
	return out, nil
}

func requestFromProto(r *pluginv1.CompleteRequest) (Request, error) {
	if len(r.GetMessages()) == 0 || len(r.GetMessages()) > MaxMessages {
		return Request{}, errdef.New(errdef.ErrInvalid, "a conversation needs 1 to %d messages, this one has %d", MaxMessages, len(r.GetMessages()))
	}
	if len(r.GetTools()) > MaxTools {
		return Request{}, errdef.New(errdef.ErrInvalid, "%d tools are offered, at most %d are allowed", len(r.GetTools()), MaxTools)
	}
	out := Request{
		Conversation: r.GetConversation(), Model: r.GetModel(), System: r.GetSystem(), MaxOutputTokens: int(r.GetMaxOutputTokens()),
		Temperature: r.Temperature,
		Tools: convert(r.GetTools(), func(t *pluginv1.Tool) Tool {
			return Tool{Name: t.GetName(), Description: t.GetDescription(), InputSchema: json.RawMessage(t.GetInputSchemaJson())}
		}),
	}
	for i, pm := range r.GetMessages() {
		m, err := messageFromProto(pm)
		if err == nil {
			err = checkMessage(m)
		}
		if err != nil {
			return Request{}, errdef.New(errdef.ErrInvalid, "message %d: %w", i, err)
		}
		out.Messages = append(out.Messages, m)
	}
	return out, nil
}

func messageToProto(m Message) (*pluginv1.Message, error) {
	role, ok := roles[m.Role]
	if !ok {
		return nil, broken("unknown role %q", m.Role)
	}
	out := &pluginv1.Message{Role: role}
	for i, p := range m.Parts {
		pp, err := partToProto(p)
		if err != nil {
			return nil, broken("part %d: %v", i, err)
		}
		out.Parts = append(out.Parts, pp)
	}
	return out, nil
}

func messageFromProto(m *pluginv1.Message) (Message, error) {
	var out Message
	switch m.GetRole() {
	case pluginv1.Message_ROLE_USER:
		out.Role = User
	case pluginv1.Message_ROLE_ASSISTANT:
		out.Role = Assistant
	default:
		return Message{}, broken("message without a speaker")
	}
	for i, pp := range m.GetParts() {
		p, err := partFromProto(pp)
		if err != nil {
			return Message{}, broken("part %d: %v", i, err)
		}
		out.Parts = append(out.Parts, p)
	}
	return out, nil
}

// partToProto demands that exactly one field is set; an empty text is a part too.
func partToProto(p Part) (*pluginv1.Part, error) {
	set := 0
	for _, is := range []bool{p.Text != "", p.ToolCall != nil, p.ToolResult != nil, p.Opaque != nil} {
		if is {
			set++
		}
	}
	if set > 1 {
		return nil, broken("%d of its fields are set", set)
	}
	switch {
	case p.ToolCall != nil:
		return &pluginv1.Part{Part: &pluginv1.Part_ToolCall{ToolCall: callToProto(*p.ToolCall)}}, nil
	case p.ToolResult != nil:
		return &pluginv1.Part{Part: &pluginv1.Part_ToolResult{ToolResult: resultToProto(*p.ToolResult)}}, nil
	case p.Opaque != nil:
		return &pluginv1.Part{Part: &pluginv1.Part_Opaque{Opaque: p.Opaque}}, nil
	default:
		return &pluginv1.Part{Part: &pluginv1.Part_Text{Text: text(p.Text)}}, nil
	}
}

func partFromProto(p *pluginv1.Part) (Part, error) {
	switch part := p.GetPart().(type) {
	case *pluginv1.Part_Text:
		return Part{Text: part.Text}, nil
	case *pluginv1.Part_ToolCall:
		c := callFromProto(part.ToolCall)
		return Part{ToolCall: &c}, nil
	case *pluginv1.Part_ToolResult:
		r := resultFromProto(part.ToolResult)
		return Part{ToolResult: &r}, nil
	case *pluginv1.Part_Opaque:
		opaque := part.Opaque
		if opaque == nil {
			opaque = []byte{}
		}
		return Part{Opaque: opaque}, nil
	default:
		return Part{}, broken("nothing known is set")
	}
}

func turnToProto(t Turn) (*pluginv1.Turn, error) {
	m, err := messageToProto(t.Message)
	if err != nil {
		return nil, err
	}
	return &pluginv1.Turn{Message: m, Usage: usageToProto(t.Usage), StopReason: stopReasons[t.StopReason], Model: text(t.Model)}, nil
}

func turnFromProto(t *pluginv1.Turn) (Turn, error) {
	m, err := messageFromProto(t.GetMessage())
	if err != nil {
		return Turn{}, err
	}
	turn := Turn{Message: m, Usage: usageFromProto(t.GetUsage()), StopReason: EndTurn, Model: t.GetModel()}
	for reason, wire := range stopReasons {
		if wire == t.GetStopReason() {
			turn.StopReason = reason
		}
	}
	return turn, nil
}

func eventToProto(e Event) (*pluginv1.AgentEvent, error) {
	switch e := e.(type) {
	case Init:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_Init{Init: &pluginv1.AgentInit{
			Model: text(e.Model), Tools: texts(e.Tools), Skills: texts(e.Skills), Session: text(e.Session)}}}, nil
	case Text:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_Text{Text: textToProto(e)}}, nil
	case ToolCall:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_ToolCall{ToolCall: callToProto(e)}}, nil
	case ToolResult:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_ToolResult{ToolResult: resultToProto(e)}}, nil
	case Retry:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_Retry{Retry: retryToProto(e)}}, nil
	case Usage:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_Usage{Usage: usageToProto(e)}}, nil
	case Result:
		return &pluginv1.AgentEvent{Event: &pluginv1.AgentEvent_Result{Result: &pluginv1.AgentResult{
			Text: text(e.Text), Error: text(e.Error), Turns: count(e.Turns), Usage: usageToProto(e.Usage)}}}, nil
	default:
		return nil, broken("event of type %T", e)
	}
}

func eventFromProto(e *pluginv1.AgentEvent) (Event, error) {
	switch e := e.GetEvent().(type) {
	case *pluginv1.AgentEvent_Init:
		return Init{Model: e.Init.GetModel(), Tools: e.Init.GetTools(), Skills: e.Init.GetSkills(), Session: e.Init.GetSession()}, nil
	case *pluginv1.AgentEvent_Text:
		return textFromProto(e.Text), nil
	case *pluginv1.AgentEvent_ToolCall:
		return callFromProto(e.ToolCall), nil
	case *pluginv1.AgentEvent_ToolResult:
		return resultFromProto(e.ToolResult), nil
	case *pluginv1.AgentEvent_Retry:
		return retryFromProto(e.Retry), nil
	case *pluginv1.AgentEvent_Usage:
		u := usageFromProto(e.Usage)
		return u, checkUsage(u)
	case *pluginv1.AgentEvent_Result:
		r := Result{Text: e.Result.GetText(), Error: e.Result.GetError(), Turns: int(e.Result.GetTurns()), Usage: usageFromProto(e.Result.GetUsage())}
		return r, checkUsage(r.Usage)
	default:
		return nil, broken("event without a known payload")
	}
}
