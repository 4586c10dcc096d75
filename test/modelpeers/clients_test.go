package modelpeers

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/ollama/ollama/api"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
)

const (
	key   = "key-4711"
	said  = "The nonce is abc, Grüße 🚀."
	asked = "Find the nonce."
)

// rules answer a prompt with a call, and what the tool returned with its words.
func rules(thinking string) modelserver.Config {
	return modelserver.Config{Key: key, Rules: []modelserver.Rule{
		{Match: "nonce", Say: "I look.", Thinking: thinking, Call: "bash", Arguments: `{"command": "cat nonce"}`,
			Usage: modelserver.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30}},
		{Tool: "bash", Match: `nonce=(\w+)`, Say: "The nonce is ${1}, Grüße 🚀."},
	}}
}

// odd are ways to send a stream that change nothing of what it says.
var odd = []*modelserver.Fault{nil, {Piece: 1}, {Piece: 7, EOL: "\r\n"}, {Comments: true}}

func TestAnthropicSDK(t *testing.T) {
	s, base := modeltest.Serve(t, rules("Let me see."))
	client := anthropic.NewClient(anthropicoption.WithBaseURL(base), anthropicoption.WithAPIKey(key), anthropicoption.WithMaxRetries(0))
	params := anthropic.MessageNewParams{
		Model: "claude-test", MaxTokens: 1000, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(asked))},
		Tools: []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
			Name: "bash", InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{"command": map[string]any{"type": "string"}}},
		}}},
	}
	for _, fault := range odd[:3] { // the SDK takes no unknown events
		s.Fail(fault, fault)
		turn := func(p anthropic.MessageNewParams) anthropic.Message {
			t.Helper()
			stream := client.Messages.NewStreaming(t.Context(), p)
			var m anthropic.Message
			for stream.Next() {
				if err := m.Accumulate(stream.Current()); err != nil {
					t.Fatal(err)
				}
			}
			if stream.Err() != nil {
				t.Fatal(stream.Err())
			}
			return m
		}
		first := turn(params)
		if len(first.Content) != 3 || first.Content[0].Thinking != "Let me see." || first.Content[2].Name != "bash" || first.StopReason != "tool_use" ||
			first.Usage.InputTokens != 10 || first.Usage.OutputTokens != 20 || first.Usage.CacheReadInputTokens != 30 {
			t.Fatalf("%+v", first)
		}
		p := params
		p.Messages = append(append([]anthropic.MessageParam(nil), params.Messages...), first.ToParam(),
			anthropic.NewUserMessage(anthropic.NewToolResultBlock(first.Content[2].ID, "nonce=abc", false)))
		if last := turn(p); last.Content[0].Text != said || last.StopReason != "end_turn" {
			t.Fatalf("%+v", last)
		}
		whole, err := client.Messages.New(t.Context(), p)
		if err != nil || whole.Content[0].Text != said {
			t.Fatalf("not streamed: %+v, %v", whole, err)
		}
	}
}

func TestOpenAISDKChat(t *testing.T) {
	s, base := modeltest.Serve(t, rules(""))
	client := openai.NewClient(openaioption.WithBaseURL(base+"/v1"), openaioption.WithAPIKey(key), openaioption.WithMaxRetries(0))
	params := openai.ChatCompletionNewParams{
		Model: "gpt-test", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(asked)},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	for _, fault := range odd {
		s.Fail(fault, fault)
		turn := func(p openai.ChatCompletionNewParams) openai.ChatCompletionAccumulator {
			t.Helper()
			stream := client.Chat.Completions.NewStreaming(t.Context(), p)
			var acc openai.ChatCompletionAccumulator
			for stream.Next() {
				if !acc.AddChunk(stream.Current()) {
					t.Fatalf("a piece does not fit: %+v", stream.Current())
				}
			}
			if stream.Err() != nil {
				t.Fatal(stream.Err())
			}
			return acc
		}
		first := turn(params)
		m := first.Choices[0].Message
		if m.Content != "I look." || len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Arguments != `{"command": "cat nonce"}` ||
			first.Usage.PromptTokens != 40 || first.Usage.PromptTokensDetails.CachedTokens != 30 {
			t.Fatalf("%+v", first)
		}
		p := params
		p.Messages = append(append([]openai.ChatCompletionMessageParamUnion(nil), params.Messages...), m.ToParam(),
			openai.ToolMessage("nonce=abc", m.ToolCalls[0].ID))
		if last := turn(p); last.Choices[0].Message.Content != said || last.Choices[0].FinishReason != "stop" {
			t.Fatalf("%+v", last)
		}
	}
}

func TestOpenAISDKResponses(t *testing.T) {
	s, base := modeltest.Serve(t, rules("Let me see."))
	client := openai.NewClient(openaioption.WithBaseURL(base+"/v1"), openaioption.WithAPIKey(key), openaioption.WithMaxRetries(0))
	for _, fault := range odd {
		s.Fail(fault)
		stream := client.Responses.NewStreaming(t.Context(), responses.ResponseNewParams{
			Model: "gpt-test", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(asked)},
		})
		var text, arguments strings.Builder
		var done responses.Response
		for stream.Next() {
			e := stream.Current()
			switch e.Type {
			case "response.output_text.delta":
				text.WriteString(e.AsResponseOutputTextDelta().Delta)
			case "response.function_call_arguments.delta":
				arguments.WriteString(e.AsResponseFunctionCallArgumentsDelta().Delta)
			case "response.completed":
				done = e.AsResponseCompleted().Response
			}
		}
		if stream.Err() != nil {
			t.Fatal(stream.Err())
		}
		if text.String() != "I look." || arguments.String() != `{"command": "cat nonce"}` || done.OutputText() != "I look." || len(done.Output) != 3 ||
			done.Output[0].AsReasoning().EncryptedContent == "" || done.Usage.InputTokensDetails.CachedTokens != 30 {
			t.Fatalf("text %q, arguments %q, %+v", text.String(), arguments.String(), done)
		}
	}
}

func TestOllamaClient(t *testing.T) {
	cfg := rules("Let me see.")
	cfg.Key = ""
	cfg.Models = []modelserver.Model{{Name: "qwen:8b", Tools: true, Context: 4096}}
	cfg.Pullable = []modelserver.Model{{Name: "other:1b"}}
	s, base := modeltest.Serve(t, cfg)
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	client := api.NewClient(at, http.DefaultClient)
	turn := func(messages ...api.Message) (m api.Message, last api.ChatResponse) {
		t.Helper()
		err := client.Chat(t.Context(), &api.ChatRequest{Model: "qwen:8b", Messages: messages}, func(r api.ChatResponse) error {
			m.Role = "assistant"
			m.Content += r.Message.Content
			m.Thinking += r.Message.Thinking
			m.ToolCalls = append(m.ToolCalls, r.Message.ToolCalls...)
			last = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return m, last
	}
	s.Fail(&modelserver.Fault{Piece: 1})
	prompt := api.Message{Role: "user", Content: asked}
	first, last := turn(prompt)
	if first.Content != "I look." || first.Thinking != "Let me see." || len(first.ToolCalls) != 1 || !last.Done || last.PromptEvalCount != 10 {
		t.Fatalf("%+v %+v", first, last)
	}
	if arguments, err := json.Marshal(first.ToolCalls[0].Function.Arguments); err != nil || string(arguments) != `{"command":"cat nonce"}` {
		t.Errorf("%s, %v", arguments, err)
	}
	if answer, _ := turn(prompt, first, api.Message{Role: "tool", Content: "nonce=abc", ToolName: "bash", ToolCallID: first.ToolCalls[0].ID}); answer.Content != said {
		t.Errorf("%+v", answer)
	}
	shown, err := client.Show(t.Context(), &api.ShowRequest{Model: "qwen:8b"})
	if err != nil || len(shown.Capabilities) != 2 {
		t.Errorf("%+v, %v", shown, err)
	}
	if _, err := client.Show(t.Context(), &api.ShowRequest{Model: "other:1b"}); err == nil {
		t.Error("a model that is not there was shown")
	}
	if err := client.Pull(t.Context(), &api.PullRequest{Model: "other:1b"}, func(api.ProgressResponse) error { return nil }); err != nil {
		t.Error(err)
	}
	if list, err := client.List(t.Context()); err != nil || len(list.Models) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
