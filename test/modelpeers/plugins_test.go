package modelpeers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ollama/ollama/middleware"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }

// ollama is a server of Ollama's own middleware, over a model that is scripted in Ollama's own protocol.
func ollama(t *testing.T) string {
	t.Helper()
	_, url := ollamaWith(t, rules("").Rules)
	return url
}

func ollamaWith(t *testing.T, rules []modelserver.Rule) (*modelserver.Server, string) {
	t.Helper()
	server, model := modeltest.Serve(t, modelserver.Config{Rules: rules, Models: []modelserver.Model{{Name: "qwen:8b", Tools: true, Context: 65536}}})
	forward := func(c *gin.Context) {
		body, err := io.ReadAll(c.Request.Body)
		if err == nil {
			err = chat(c, model, body)
		}
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"error": err.Error()})
		}
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.POST("/v1/messages", middleware.AnthropicMessagesMiddleware(), forward)
	router.POST("/v1/chat/completions", middleware.ChatMiddleware(), forward)
	router.POST("/v1/responses", middleware.ResponsesMiddleware(), forward)
	router.Any("/api/*call", gin.WrapH(server)) // its own, which the middleware is for
	s := httptest.NewServer(router)
	t.Cleanup(s.Close)
	return server, s.URL
}

// chat asks /api/chat and passes its lines on one by one, as Ollama's handler does.
func chat(c *gin.Context, model string, body []byte) error {
	resp, err := http.Post(model+"/api/chat", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	c.Status(resp.StatusCode)
	c.Header("Content-Type", resp.Header.Get("Content-Type"))
	lines := json.NewDecoder(resp.Body)
	for {
		var line json.RawMessage
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := c.Writer.Write(append(line, '\n')); err != nil {
			return nil // the client has gone, or the middleware has told it
		}
	}
}

// start starts a plugin as users have it.
func start(t *testing.T, name string, block map[string]any) llm.LLM {
	t.Helper()
	runtime, err := os.MkdirTemp("", "vb") // socket paths are short, and those of t.TempDir are not
	if err != nil {
		t.Fatal(err)
	}
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: testbin.Dir(t), RuntimeDir: runtime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
		os.RemoveAll(runtime)
	})
	config, err := json.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	inst, err := host.Start(t.Context(), pluginhost.Request{Kind: base.KindLLM, Name: name, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return inst.LLM()
}

// converse goes through a turn with a tool.
func converse(t *testing.T, model llm.LLM) {
	t.Helper()
	req := llm.Request{
		Conversation: "c", Model: "qwen:8b", System: "be brief", Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: asked}}}},
		Tools: []llm.Tool{{Name: "bash", Description: "Runs a command.", InputSchema: json.RawMessage(`{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}`)}},
	}
	turn, err := model.Complete(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	results := llm.Message{Role: llm.User}
	for _, p := range turn.Message.Parts {
		if p.ToolCall != nil {
			results.Parts = append(results.Parts, llm.Part{ToolResult: &llm.ToolResult{CallID: p.ToolCall.ID, Content: "nonce=abc"}})
		}
	}
	if len(results.Parts) != 1 || turn.StopReason != llm.ToolUse || turn.Usage.OutputTokens == 0 {
		t.Fatalf("%+v", turn)
	}
	req.Messages = append(req.Messages, turn.Message, results)
	if turn, err = model.Complete(t.Context(), req, nil); err != nil || turn.Message.Parts[0].Text != said || turn.StopReason != llm.EndTurn {
		t.Fatalf("%+v, %v", turn, err)
	}
	req.Model = "absent"
	if _, err := model.Complete(t.Context(), req, nil); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("a model that is not there: %v", err)
	}
}

func TestClaudePluginAgainstOllama(t *testing.T) {
	converse(t, start(t, "claude", map[string]any{"base_url": ollama(t)}))
}

func TestOpenAIPluginAgainstOllama(t *testing.T) {
	for _, api := range []string{"chat", "responses"} {
		t.Run(api, func(t *testing.T) { converse(t, start(t, "openai", map[string]any{"base_url": ollama(t), "api": api})) })
	}
}
