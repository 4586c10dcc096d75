package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/voidbox-run/voidbox/internal/version"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Client is a server that is ready. It is safe for concurrent use.
type Client struct {
	server  Server
	session *mcp.ClientSession
	program *program // nil for a server at an address
	changed atomic.Bool

	mu    sync.Mutex
	tools []Tool
	notes []string
}

// Open starts or reaches a server, and returns once its tools are known. ctx is that of the run: its end kills the server's program.
func Open(ctx context.Context, s Server, ways Ways) (*Client, error) {
	c := &Client{server: s}
	ready, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("it was not ready after %v", startTime))
	defer cancel()
	err := c.connect(ctx, ready, ways)
	if err == nil {
		err = c.list(ready)
	}
	if err != nil {
		err = c.notReady(ctx, ready, err)
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) connect(ctx, ready context.Context, ways Ways) (err error) {
	var transport mcp.Transport
	if c.server.URL != "" {
		transport = c.server.address(ways)
	} else {
		launch := ways.Sandbox
		if c.server.Host {
			launch = onHost
		}
		c.program = start(ctx, c.server, launch)
		transport = c.program.pipes
		// However much there is to be written: who is given up is not waited for.
		defer context.AfterFunc(ready, func() { c.program.pipes.Close() })()
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "voidbox", Version: version.String()}, &mcp.ClientOptions{
		Logger:                 slog.New(slog.DiscardHandler),
		Capabilities:           &mcp.ClientCapabilities{},
		MultiRoundTrip:         &mcp.MultiRoundTripOptions{Disabled: true}, // nobody could answer
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { c.changed.Store(true) },
	})
	c.session, err = client.Connect(ready, transport, &mcp.ClientSessionOptions{ProtocolVersion: protocol})
	return err
}

// notReady says why a server is of no use.
func (c *Client) notReady(ctx, ready context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	remedy := "run its command in the sandbox by hand to see what it says"
	switch {
	case c.server.URL != "":
		remedy = "check that it listens there, and that the sandbox's network lets it be reached; or set on = \"host\" to reach it from the host"
		if c.server.Host {
			remedy = "check that it listens there, and what headers it wants"
		}
	case c.server.Host:
		remedy = "run its command on the host by hand to see what it says"
	}
	if ready.Err() != nil {
		err = context.Cause(ready)
	} else {
		err = c.lost(err)
	}
	kind := errdef.ErrUnavailable
	if errors.Is(err, errdef.ErrNotFound) {
		kind, remedy = errdef.ErrNotFound, "install it, or use an image that has it"
	}
	return errdef.New(kind, "MCP server %s is not ready: %s%s", c.server.Name, reason(err), c.printed()).WithReason("mcp_not_ready").WithRemedy("%s", remedy)
}

// lost is what an error of a call comes from: the end of the program, or of what can be read of it.
func (c *Client) lost(err error) error {
	if c.program == nil {
		return err
	}
	switch broken := c.program.pipes.failure(); {
	case broken == nil && !errors.Is(err, io.ErrClosedPipe): // a write may learn of the end before a read does
		return err
	case broken != nil && !errors.Is(broken, io.EOF):
		return broken
	case c.program.ended(grace):
		return c.program.verdict()
	}
	return errors.New("it has closed its output")
}

// Close ends the server: its input ends, and what is not over in time is killed.
func (c *Client) Close() error {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c.session != nil {
			err = c.session.Close()
		}
	}()
	if c.program != nil {
		c.program.close()
	}
	<-done
	if c.program != nil {
		return nil // how it ended is of no interest any more
	}
	return err
}

func (c *Client) printed() string {
	if c.program == nil {
		return ""
	}
	return c.program.printed.said()
}

// reason is what an error says, without the names of the library's layers.
func reason(err error) string {
	text := err.Error()
	for _, layer := range []string{`calling "initialize": `, `calling "tools/list": `, `calling "tools/call": `, `sending "initialize": `, `connection closed: `} {
		text = strings.ReplaceAll(text, layer, "")
	}
	const most = 1000
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// program is a server's program at work.
type program struct {
	pipes   *pipes
	printed *tail
	kill    context.CancelFunc
	over    chan struct{} // closed when it has ended
	exit    sandbox.Exit
	err     error
}

func start(ctx context.Context, s Server, launch Launch) *program {
	ctx, kill := context.WithCancel(ctx)
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	printed := &tail{}
	p := &program{pipes: newPipes(in, out, printed), printed: printed, kill: kill, over: make(chan struct{})}
	go func() {
		p.exit, p.err = launch(ctx, s, sandbox.IO{Stdin: stdin, Stdout: sink{stdout}, Stderr: printed})
		close(p.over)
		stdin.CloseWithError(io.ErrClosedPipe)
		stdout.Close()
	}()
	return p
}

// sink goes on taking output when nobody reads it any more, so that a program can end as it wants to.
type sink struct{ w *io.PipeWriter }

func (s sink) Write(p []byte) (int, error) {
	s.w.Write(p)
	return len(p), nil
}

// ended tells whether the program has ended, or does so within a time.
func (p *program) ended(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.over:
		return true
	case <-timer.C:
		return false
	}
}

// verdict says how a program ended that should not have.
func (p *program) verdict() error {
	switch {
	case p.err != nil:
		return p.err
	case p.exit.OOMKilled:
		return errors.New("it ran out of memory")
	case p.exit.Signal != "":
		return fmt.Errorf("it was ended by SIG%s", p.exit.Signal)
	}
	return fmt.Errorf("it ended with status %d", p.exit.Code)
}

// close ends the program. What has lost its wits gets no grace.
func (p *program) close() {
	p.pipes.in.Close()
	if p.pipes.failure() != nil || !p.ended(grace) {
		p.kill()
	}
	<-p.over
	p.kill()
}

// address is the transport to a server at an address.
func (s Server) address(ways Ways) mcp.Transport {
	way := ways.Dial
	if s.Host {
		way = http.DefaultTransport.(*http.Transport).Clone()
	}
	return &mcp.StreamableClientTransport{
		Endpoint: s.URL, MaxRetries: 2, MaxEventSize: MaxMessage,
		// Nothing that a server says between answers is of interest, and not all of them know it.
		DisableStandaloneSSE: true,
		HTTPClient: &http.Client{
			Transport: &bounded{next: way, headers: s.Headers},
			// Headers hold credentials, and a redirect would carry them elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return errors.New("it sends redirects, which are not followed")
			},
		},
	}
}
