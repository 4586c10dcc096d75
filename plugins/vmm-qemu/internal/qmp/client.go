package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxLine bounds one line, in bytes. The longest answers that we ask for have a few hundred.
const maxLine = 1 << 20

// writeTimeout bounds the sending of one command to a QEMU that no longer reads.
const writeTimeout = 5 * time.Second

// ErrClosed says that the connection has ended.
var ErrClosed = errors.New("qmp connection is closed")

// Event is something that QEMU reports on its own.
type Event struct {
	Name string          `json:"event"`
	Data json.RawMessage `json:"data"`
}

// Error is the answer to a command that failed.
type Error struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *Error) Error() string { return e.Desc }

// Client is one connection. Its methods may be called from several goroutines.
type Client struct {
	conn    net.Conn
	version string
	onEvent func(Event)
	done    chan struct{}

	writing sync.Mutex

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan<- message
	err     error // why done was closed
}

// message is any line that QEMU sends.
type message struct {
	Greeting *struct {
		Version struct {
			QEMU struct{ Major, Minor, Micro int } `json:"qemu"`
		} `json:"version"`
	} `json:"QMP"`
	ID     *uint64         `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
	Event
}

type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        uint64 `json:"id"`
}

// Connect takes the greeting from conn and agrees on no optional capability. The client owns conn afterwards, whether or not
// it fails. onEvent is called for each event, in order, from the client's goroutine; it must not wait for a command.
func Connect(ctx context.Context, conn net.Conn, onEvent func(Event)) (*Client, error) {
	c := &Client{conn: conn, onEvent: onEvent, done: make(chan struct{}), pending: map[uint64]chan<- message{}}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	if err := c.greet(ctx, lines); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go c.read(lines)
	if err := c.Do(ctx, "qmp_capabilities", nil, nil); err != nil {
		c.Close()
		return nil, fmt.Errorf("agree on capabilities: %w", err)
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context, lines *bufio.Scanner) error {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if !lines.Scan() {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the greeting of QEMU: %w", ctx.Err())
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("wait for the greeting of QEMU: %w", err)
		}
		return fmt.Errorf("wait for the greeting of QEMU: %w", ErrClosed)
	}
	var m message
	if err := json.Unmarshal(lines.Bytes(), &m); err != nil || m.Greeting == nil {
		return fmt.Errorf("QEMU sent no greeting but %.80q", lines.Bytes())
	}
	v := m.Greeting.Version.QEMU
	c.version = fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
	return nil
}

// Version is QEMU's version, such as 7.2.22.
func (c *Client) Version() string { return c.version }

// Done is closed when the connection has ended and every event has been delivered.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection and waits for the client's goroutine.
func (c *Client) Close() {
	_ = c.conn.Close()
	<-c.done
}

// Do sends a command and waits for its answer, which is decoded into result unless that is nil. A command that QEMU refuses
// is an *Error.
func (c *Client) Do(ctx context.Context, name string, arguments, result any) error {
	answer := make(chan message, 1)
	id, err := c.register(answer)
	if err != nil {
		return err
	}
	defer c.forget(id)
	if err := c.send(command{Execute: name, Arguments: arguments, ID: id}); err != nil {
		return fmt.Errorf("send %s: %w", name, err)
	}
	select {
	case m := <-answer:
		return decode(name, m, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", name, ctx.Err())
	case <-c.done:
	}
	select {
	case m := <-answer: // it came just before the end, as that of quit does
		return decode(name, m, result)
	default:
		return fmt.Errorf("%s: %w", name, c.closedErr())
	}
}

func decode(name string, m message, result any) error {
	if m.Error != nil {
		return fmt.Errorf("%s: %w", name, m.Error)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(m.Return, result); err != nil {
		return fmt.Errorf("%s: decode the answer: %w", name, err)
	}
	return nil
}

func (c *Client) register(answer chan<- message) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.last++
	c.pending[c.last] = answer
	return c.last, nil
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

func (c *Client) send(cmd command) error {
	line, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = c.conn.Write(append(line, '\n'))
	return err
}

func (c *Client) read(lines *bufio.Scanner) {
	defer close(c.done)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			c.end(fmt.Errorf("QEMU sent what is no JSON: %.80q", lines.Bytes()))
			return
		}
		c.dispatch(m)
	}
	if err := lines.Err(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.end(fmt.Errorf("read from QEMU: %w", err))
		return
	}
	c.end(ErrClosed)
}

func (c *Client) dispatch(m message) {
	if m.Event.Name != "" {
		c.onEvent(m.Event)
		return
	}
	if m.ID == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer, ok := c.pending[*m.ID]; ok {
		delete(c.pending, *m.ID)
		answer <- m // has room for one, and only one is ever sent
	}
}

func (c *Client) end(err error) {
	_ = c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *Client) closedErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
