package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// linger bounds how long Close waits for what was written to reach the other end.
const linger = 2 * time.Second

// Dial returns a connection with deadlines and CloseWrite. As with net.Dialer, ctx governs connecting only. Each Write of at
// most 64 KiB to a udp address is one datagram. Close waits up to two seconds for what was written to be handed over.
func (c *client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := checkDial(network, address); err != nil {
		return nil, err
	}
	connCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	connecting := context.AfterFunc(ctx, cancel)
	stream, err := c.openDial(connCtx, network, address)
	if !connecting() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, errdef.FromStatus(err)
	}
	return newConn(stream, cancel, addr{network, address}), nil
}

func (c *client) openDial(ctx context.Context, network, address string) (grpc.BidiStreamingClient[pluginv1.DialRequest, pluginv1.DialResponse], error) {
	stream, err := c.rpc.Dial(c.auth(ctx))
	if err != nil {
		return nil, err
	}
	req := &pluginv1.DialRequest{Target: &pluginv1.DialTarget{Network: network, Address: address}}
	if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	open, err := stream.Recv()
	if errors.Is(err, io.EOF) || (err == nil && (len(open.GetData()) > 0 || open.GetEof())) {
		return nil, broken("a connection without its opening message")
	}
	return stream, err
}

type addr struct{ network, address string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.address }

// conn joins a stream to two pipes, one for each direction. The pipes bring deadlines; two goroutines, which Close waits for,
// copy between them and the stream.
type conn struct {
	stream grpc.BidiStreamingClient[pluginv1.DialRequest, pluginv1.DialResponse]
	cancel context.CancelFunc
	remote addr

	in, inFeed   net.Conn // the caller reads in
	out, outSink net.Conn // the caller writes out
	sending      chan struct{}
	receiving    chan struct{}

	mu  sync.Mutex
	err error // why the connection broke

	closeOnce sync.Once
}

func newConn(stream grpc.BidiStreamingClient[pluginv1.DialRequest, pluginv1.DialResponse], cancel context.CancelFunc, remote addr) *conn {
	c := &conn{stream: stream, cancel: cancel, remote: remote, sending: make(chan struct{}), receiving: make(chan struct{})}
	c.in, c.inFeed = net.Pipe()
	c.out, c.outSink = net.Pipe()
	go func() {
		defer close(c.sending)
		c.send()
	}()
	go func() {
		defer close(c.receiving)
		c.receive()
	}()
	return c
}

// send copies the caller's writes to the stream. A Write of the pipe is one Read here, as long as it fits, so datagrams stay
// whole.
func (c *conn) send() {
	defer c.outSink.Close()
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for {
		n, err := c.outSink.Read(*buf)
		if n > 0 && c.stream.Send(&pluginv1.DialRequest{Data: (*buf)[:n]}) != nil {
			return // the stream has ended; receive finds out why
		}
		if err != nil {
			_ = c.stream.Send(&pluginv1.DialRequest{Eof: true})
			return
		}
	}
}

// receive copies the stream to the caller. Once the caller has closed, it only waits for the end.
func (c *conn) receive() {
	defer c.inFeed.Close()
	for eof := false; ; {
		resp, err := c.stream.Recv()
		if err == nil {
			err = checkChunk(resp.GetData())
		}
		if err == nil && eof && len(resp.GetData()) > 0 {
			err = broken("data after the end of a connection")
		}
		if err != nil {
			c.fail(err)
			return
		}
		if len(resp.GetData()) > 0 {
			_, _ = c.inFeed.Write(resp.GetData()) // fails once the caller has closed
		}
		if resp.GetEof() {
			eof = true
			c.inFeed.Close()
		}
	}
}

// fail ends both directions.
func (c *conn) fail(err error) {
	if !errors.Is(err, io.EOF) {
		c.mu.Lock()
		c.err = errdef.FromStatus(err)
		c.mu.Unlock()
	}
	c.cancel()
	c.outSink.Close()
}

// reason replaces the end of a pipe by what broke the connection.
func (c *conn) reason(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return err
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	if err != nil {
		err = c.reason(err)
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.Write(b)
	if err != nil {
		err = c.reason(err)
	}
	return n, err
}

// CloseWrite ends the direction towards the other end.
func (c *conn) CloseWrite() error { return c.out.Close() }

func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		timer := time.AfterFunc(linger, c.cancel)
		defer timer.Stop()
		c.in.Close()
		c.out.Close()
		<-c.sending
		_ = c.stream.CloseSend() // never fails
		<-c.receiving
		c.cancel()
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return addr{c.remote.network, ""} }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetDeadline(t), c.out.SetDeadline(t))
}
func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }
