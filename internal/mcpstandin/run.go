package mcpstandin

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Env is the variable of the environment that names the scenario; see Run.
const Env = "MCP_STAND_IN"

// ChildEnv names a file for the number of a process that the scenario "child" leaves behind.
const ChildEnv = "MCP_STAND_IN_CHILD"

// Run is the program. It ends with its input, in most scenarios.
func Run() {
	switch scenario := os.Getenv(Env); scenario {
	case "":
		serve(New())
	case "dead": // at once
		fmt.Fprintln(os.Stderr, "no configuration found\nsorry")
		os.Exit(7)
	case "mute": // reads and says nothing
		for in := bufio.NewReader(os.Stdin); ; {
			if _, err := in.ReadByte(); err != nil {
				return
			}
		}
	case "deaf": // does not even read, nor end
		hang()
	case "banner": // says what is no message, between messages
		fmt.Println("Welcome to the server!\n\n{not json}\n[1, 2]")
		serve(New())
	case "nonsense":
		for {
			fmt.Println(strings.Repeat("nonsense ", 100))
		}
	case "endless": // a line without end
		for {
			fmt.Print(strings.Repeat("x", 4096))
		}
	case "chatter": // floods standard error while it works
		go func() {
			for line := strings.Repeat("é", 2000) + "\n"; ; {
				fmt.Fprint(os.Stderr, line)
			}
		}()
		serve(New())
	case "beggar": // asks without end
		for i := 0; ; i++ {
			fmt.Printf(`{"jsonrpc":"2.0","id":"q%d","method":"ping"}`+"\n", i)
		}
	case "gossip": // notifies without end, then works
		for range 50_000 {
			fmt.Println(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hi"}}`)
		}
		serve(New())
	case "wrong": // answers what nobody could mean
		answer(`"result":42`)
	case "refuses":
		answer(`"error":{"code":-32600,"message":"I do not like you"}`)
	case "many":
		s := New()
		for i := range 200 {
			s.AddTool(&mcp.Tool{Name: fmt.Sprintf("t%d", i), InputSchema: map[string]any{"type": "object"}}, nil)
		}
		serve(s)
	case "huge": // a tool that describes itself at length, and one whose schema is too large
		s := mcp.NewServer(&mcp.Implementation{Name: "huge"}, nil)
		s.AddTool(&mcp.Tool{Name: "a b/é", Description: strings.Repeat("é", 5000), InputSchema: map[string]any{"type": "object"}}, nil)
		s.AddTool(&mcp.Tool{Name: "schema", InputSchema: map[string]any{"type": "object", "description": strings.Repeat("x", 40<<10)}}, nil)
		serve(s)
	case "child": // leaves a process behind, and outlives its input
		child(os.Getenv(ChildEnv))
		serve(New())
		hang()
	case "slow": // is not in a hurry to end
		serve(New())
		time.Sleep(100 * time.Millisecond)
	default:
		fmt.Fprintf(os.Stderr, "there is no scenario %q\n", scenario)
		os.Exit(2)
	}
}

// answer gives every request the same answer.
func answer(with string) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		_, after, ok := strings.Cut(in.Text(), `"id":`)
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(after, ",")
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,%s}`+"\n", strings.TrimSuffix(id, "}"), with)
	}
}

// hang never returns. The runtime would end a program whose goroutines all wait for nothing.
func hang() { time.Sleep(math.MaxInt64) }
