package mcpstandin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Image is what the tool image shows.
var Image = []byte("\x89PNG, more or less")

type (
	none struct{}
	sum  struct {
		A int `json:"a" jsonschema:"the first number"`
		B int `json:"b"`
	}
	text struct {
		Text string `json:"text"`
	}
)

func say(s string) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}, nil, nil
}

// tool adds a tool whose answer is text.
func tool[In any](s *mcp.Server, name, description string, run func(ctx context.Context, in In) (string, error)) {
	mcp.AddTool(s, &mcp.Tool{Name: name, Description: description}, func(ctx context.Context, _ *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		out, err := run(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		return say(out)
	})
}

// New returns a server that does as it should. Some of its tools do not.
func New() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "stand-in", Version: "1"}, &mcp.ServerOptions{Instructions: "Use add for sums."})
	tool(s, "add", "Adds two numbers.", func(_ context.Context, in sum) (string, error) { return fmt.Sprint(in.A + in.B), nil })
	tool(s, "whereami", "Says where it runs.", func(context.Context, none) (string, error) {
		host, err := os.Hostname()
		return fmt.Sprintf("host %s, uid %d, in %s", host, os.Getuid(), cwd()), err
	})
	tool(s, "env", "Says its environment.", func(context.Context, none) (string, error) { return strings.Join(os.Environ(), "\n"), nil })
	tool(s, "echo", "Says what it is told.", func(_ context.Context, in text) (string, error) { return in.Text, nil })
	tool(s, "long", "Says very much.", func(context.Context, none) (string, error) {
		return "head é" + strings.Repeat("é", 1<<19) + "tail", nil
	})
	tool(s, "fail", "Fails.", func(context.Context, none) (string, error) { return "", errors.New("the tool has failed") })
	tool(s, "hang", "Never answers.", func(ctx context.Context, _ none) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	tool(s, "die", "Ends the server.", func(context.Context, none) (string, error) {
		fmt.Fprintln(os.Stderr, "I am dying")
		os.Exit(3)
		return "", nil
	})
	tool(s, "change", "Changes the tools.", func(context.Context, none) (string, error) {
		tool(s, "new", "Was not there before.", func(context.Context, none) (string, error) { return "new", nil })
		s.RemoveTools("fail")
		return "changed", nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "image", Description: "Shows an image."}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{
			&mcp.TextContent{Text: "look:"}, &mcp.ImageContent{Data: Image, MIMEType: "image/png"},
			&mcp.ResourceLink{URI: "file:///x", Name: "x"}, &mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: "file:///y", Text: "why"}},
		}}, nil, nil
	})
	s.AddTool(&mcp.Tool{Name: "refuse", InputSchema: map[string]any{"type": "object"}}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, &jsonrpc.Error{Code: -32000, Message: "not today"}
	})
	return s
}

func cwd() string {
	dir, _ := os.Getwd()
	return dir
}

// Handler serves the well-behaved server over HTTP.
func Handler() http.Handler {
	s := New()
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil)
}

// serve serves on standard input and output until the input ends.
func serve(s *mcp.Server) {
	_ = s.Run(context.Background(), &mcp.StdioTransport{})
}

// child leaves a process behind that writes its number to a file.
func child(pidFile string) {
	cmd := exec.Command("/bin/sh", "-c", `echo $$ > "$1.new" && mv "$1.new" "$1" && exec sleep 1000`, "sh", pidFile)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	_ = cmd.Start()
}
