package mcp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// pipes are a program's standard input and output, as a transport and as its only connection: a message is a line (MCP 2025-11-25,
// section Transports, stdio).
type pipes struct {
	in      io.WriteCloser
	out     *io.PipeReader
	lines   *bufio.Reader
	printed *tail // takes what is no message

	writing  sync.Mutex
	nonsense int
	requests int

	mu     sync.Mutex
	closed bool
	broken error // why it can be read no more, unless it was closed before: io.EOF when the program has ended its output
}

func newPipes(in io.WriteCloser, out *io.PipeReader, printed *tail) *pipes {
	return &pipes{in: in, out: out, lines: bufio.NewReaderSize(out, 64<<10), printed: printed}
}

// Connect implements mcp.Transport.
func (p *pipes) Connect(context.Context) (mcp.Connection, error) { return p, nil }

// SessionID implements mcp.Connection.
func (p *pipes) SessionID() string { return "" }

// Read implements mcp.Connection. It is called by one goroutine, and ends with Close. What cannot be read need not be written to
// either: whoever above waits for a write of theirs would wait for ever.
func (p *pipes) Read(context.Context) (jsonrpc.Message, error) {
	message, err := p.next()
	if err != nil {
		p.mu.Lock()
		if !p.closed && p.broken == nil {
			p.broken = err
		}
		p.mu.Unlock()
		p.Close()
	}
	return message, err
}

// failure is why it can be read no more, though nobody had closed it.
func (p *pipes) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// next is the next message that is to be heard.
func (p *pipes) next() (jsonrpc.Message, error) {
	for {
		line, err := p.line()
		if err != nil {
			return nil, err
		}
		message, err := jsonrpc.DecodeMessage(line)
		if err != nil {
			// Programs print banners and warnings where only messages belong. A few do no harm.
			p.printed.Write(append(line, '\n'))
			if p.nonsense += len(line) + 1; p.nonsense > maxNonsense {
				return nil, fmt.Errorf("it printed more than %d bytes that are no messages of the protocol", maxNonsense)
			}
			continue
		}
		if wanted, err := p.wanted(message); wanted || err != nil {
			return message, err
		}
	}
}

// line reads one line that is not empty.
func (p *pipes) line() ([]byte, error) {
	var line []byte
	for {
		piece, err := p.lines.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case len(line) > MaxMessage:
			return nil, fmt.Errorf("it sent a line of more than %d bytes", MaxMessage)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// wanted tells whether a message is to be heard: answers, few requests, and that the tools have changed.
func (p *pipes) wanted(message jsonrpc.Message) (bool, error) {
	request, ok := message.(*jsonrpc.Request)
	if !ok {
		return true, nil
	}
	if !request.IsCall() {
		return request.Method == toolsChanged, nil
	}
	if p.requests++; p.requests > maxRequests {
		return false, fmt.Errorf("it asked more than %d times for something", maxRequests)
	}
	return true, nil
}

const toolsChanged = "notifications/tools/list_changed"

// Write implements mcp.Connection. A server that does not read until the end of ctx is given up, since it has read half a message.
func (p *pipes) Write(ctx context.Context, message jsonrpc.Message) error {
	line, err := jsonrpc.EncodeMessage(message)
	if err != nil {
		return err
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	unwatch := context.AfterFunc(ctx, func() { p.Close() })
	defer unwatch()
	_, err = p.in.Write(append(line, '\n'))
	return err
}

// Close implements mcp.Connection.
func (p *pipes) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.out.CloseWithError(io.EOF)
	return p.in.Close()
}
