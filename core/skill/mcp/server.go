package mcp

import (
	"net/http"
	"time"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Server says what a server is and where it is.
type Server struct {
	llm.MCPServer
	Host    bool              // its program runs on the host, or its address is dialled from there
	Headers map[string]string // of each request to an address
	Tools   []string          // those of its tools that are wanted; nil means all
	Timeout time.Duration     // of one call; 0 means that of the agent's tools
	Dir     string            // where its program starts on the host
}

// Ways to a server that has not been started or reached yet.
type Ways struct {
	Sandbox Launch            // starts programs in the sandbox
	Dial    http.RoundTripper // reaches addresses from the sandbox
}

// Bounds on what a server says.
const (
	// MaxMessage is the longest message, in bytes.
	MaxMessage = 4 << 20
	// MaxTools is how many tools one server may have.
	MaxTools       = 128
	maxPages       = 32
	maxDescription = 2 << 10
	maxSchema      = 32 << 10
	maxToolName    = 256
	maxNonsense    = 1 << 20 // bytes of its output that are no messages
	maxRequests    = 10_000  // that it may make of us
	tailBytes      = 2 << 10 // of what it wrote, for errors
)

// startTime is how long a server may take until its tools are known.
var startTime = time.Minute

// grace is how long its program may take to end by itself.
const grace = 2 * time.Second

// protocol is the version that is asked for. Servers of the later, stateless one speak it too, while some of the earlier ones hang
// when they are asked for what they do not know.
const protocol = "2025-11-25"
