package sandbox

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

type dialStream = grpc.BidiStreamingServer[pluginv1.DialRequest, pluginv1.DialResponse]

// Dial carries a connection. The marker eof closes one direction; the end of the requests closes the connection once what came
// before it is written.
func (s *server) Dial(stream dialStream) error {
	return errdef.ToStatus(s.dial(stream))
}

func (s *server) dial(stream dialStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	target := first.GetTarget()
	if target == nil {
		return broken("the first message of Dial has no target")
	}
	if err := checkDial(target.GetNetwork(), target.GetAddress()); err != nil {
		return err
	}
	conn, err := s.sandbox.Dial(stream.Context(), target.GetNetwork(), target.GetAddress())
	if err != nil {
		return err
	}
	defer conn.Close()
	// Neither direction looks at the stream while the connection makes it wait.
	defer context.AfterFunc(stream.Context(), func() { conn.Close() })()
	if err := stream.Send(&pluginv1.DialResponse{}); err != nil {
		return err
	}

	// The receiver ends with the stream at the latest. Closing the connection, which it does at its end, stops the sender.
	received := make(chan error, 1)
	go func() {
		received <- toConn(stream, conn)
		conn.Close()
	}()
	sent := fromConn(stream, conn)
	if sent == nil {
		return <-received
	}
	select {
	case err := <-received:
		return err // the sender only noticed that the connection was closed
	default:
		return sent
	}
}

// fromConn sends what the connection yields, its end included.
func fromConn(stream dialStream, conn net.Conn) error {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for {
		n, err := conn.Read(*buf)
		if n > 0 {
			if err := stream.Send(&pluginv1.DialResponse{Data: (*buf)[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return stream.Send(&pluginv1.DialResponse{Eof: true})
		}
		if err != nil {
			return errdef.New(errdef.ErrUnavailable, "read from the connection: %w", err)
		}
	}
}

// toConn writes what the client sends until it closes.
func toConn(stream dialStream, conn net.Conn) error {
	for eof := false; ; {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := checkChunk(req.GetData()); err != nil {
			return err
		}
		if req.GetTarget() != nil || (eof && len(req.GetData()) > 0) {
			return broken("a second target, or data after the end")
		}
		if len(req.GetData()) > 0 {
			if _, err := conn.Write(req.GetData()); err != nil {
				return errdef.New(errdef.ErrUnavailable, "write to the connection: %w", err)
			}
		}
		if req.GetEof() && !eof {
			eof = true
			closeWrite(conn)
		}
	}
}

// closeWrite ends one direction where the kind of connection has two. A datagram socket has nothing to end.
func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // the other end has gone: the reader finds out
	}
}
