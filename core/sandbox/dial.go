package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// handshakeLimit bounds the wait for the guest's answer to CONNECT, beside the caller's context.
const handshakeLimit = 10 * time.Second

// maxAnswer is the longest answer to CONNECT, "OK 4294967295\n" with room, in bytes.
const maxAnswer = 32

// DialGuest connects to a vsock port of the guest whose host socket is at path.
func DialGuest(ctx context.Context, path string, port uint32) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, errdef.New(errdef.ErrUnavailable, "reach the guest: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = shakeHands(conn, port)
	if !stop() || err != nil {
		_ = conn.Close()
		return nil, errdef.New(errdef.ErrUnavailable, "connect to port %d of the guest: %w", port, errors.Join(err, ctx.Err()))
	}
	return conn, nil
}

func shakeHands(conn net.Conn, port uint32) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return err
	}
	answer, err := readLine(conn, maxAnswer)
	if errors.Is(err, io.EOF) {
		return errors.New("nobody listens there")
	}
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "OK ") {
		return fmt.Errorf("the answer was %q, not OK", answer)
	}
	return nil
}

// readLine reads byte by byte, since what follows the line belongs to somebody else.
func readLine(r io.Reader, limit int) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < limit; {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", fmt.Errorf("the answer is longer than %d bytes", limit)
}

// Connect returns a gRPC connection to the agent of the guest whose host socket is at path; it is made by the first call. It
// has no keepalive: a guest that is paused would be given up. The caller closes it.
func Connect(path string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///guest-agent",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return DialGuest(ctx, path, boot.AgentPort)
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: handshakeLimit,
		}),
	)
}
