package plugintest

import (
	"bufio"
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
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// vmmAnnouncePort is the host's port that the guest agent announces itself to.
const vmmAnnouncePort = 1025

// listenHost listens where connections of the guest to a port of the host arrive.
func (s *vmmSession) listenHost(port uint32) net.Listener {
	s.Helper()
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", s.spec.Vsock.SocketPath, port))
	s.must(err)
	s.Cleanup(func() { _ = l.Close() })
	return l
}

// awaitAnnouncement reads the guest's first line from a connection that it has made.
func (s *vmmSession) awaitAnnouncement(host net.Listener) {
	s.Helper()
	type line struct {
		text string
		err  error
	}
	heard := make(chan line, 1)
	go func() {
		conn, err := host.Accept()
		if err != nil {
			heard <- line{err: err}
			return
		}
		text, err := bufio.NewReader(conn).ReadString('\n')
		heard <- line{text, err}
		_, _ = io.Copy(io.Discard, conn) // the agent writes until it is up
		_ = conn.Close()
	}()
	select {
	case l := <-heard:
		if l.err != nil || l.text == "" {
			s.Fatalf("the guest's connection to the host: %q, %v", l.text, l.err)
		}
	case <-s.ctx.Done():
		s.Fatalf("the guest does not connect to the host\nconsole:\n%s", s.console())
	}
}

// connect asks for a connection to a port of the guest and returns the monitor's answer, empty where it hung up.
func (s *vmmSession) connect(ctx context.Context, request string) (net.Conn, string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.spec.Vsock.SocketPath)
	if err != nil {
		return nil, "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, "", errors.Join(err, conn.Close())
	}
	var answer []byte
	for b := make([]byte, 1); len(answer) < 64; { // byte by byte: what follows the line is the guest's
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, "", errors.Join(err, conn.Close())
		}
		if b[0] == '\n' {
			return conn, string(answer), nil
		}
		answer = append(answer, b[0])
	}
	return nil, "", errors.Join(fmt.Errorf("the answer does not end: %q", answer), conn.Close())
}

// dialAgent returns a client of the guest agent; the connection is made by its first call, and made again until the agent is up.
func (s *vmmSession) dialAgent() sandbox.Sandbox {
	s.Helper()
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		conn, answer, err := s.connect(ctx, fmt.Sprintf("CONNECT %d\n", boot.AgentPort))
		if err == nil && !strings.HasPrefix(answer, "OK ") {
			err = errors.Join(fmt.Errorf("the answer to CONNECT is %q", answer), conn.Close())
		}
		return conn, err
	}
	conn, err := grpc.NewClient("passthrough:///guest", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial), grpc.WithIdleTimeout(0), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second},
			MinConnectTimeout: patience}))
	s.must(err)
	s.Cleanup(func() { _ = conn.Close() })
	return sandbox.NewClient(conn, s.config.Token)
}

// vsockConvention is what a client of the host meets at the VM's socket.
func vsockConvention(s *vmmSession) {
	conn, answer, err := s.connect(s.ctx, fmt.Sprintf("CONNECT %d\n", boot.AgentPort))
	if err != nil || !strings.HasPrefix(answer, "OK ") {
		s.Fatalf("CONNECT to the agent's port: %q, %v", answer, err)
	}
	_ = conn.Close()
	for name, request := range map[string]string{
		"a port where nobody listens": "CONNECT 4242\n",
		"no port":                     "CONNECT\n",
		"a port that is none":         "CONNECT 99999999999\n",
		"another protocol":            "GET / HTTP/1.1\r\n\r\n",
		"an endless line":             strings.Repeat("x", 100_000),
	} {
		conn, answer, err := s.connect(s.ctx, request)
		if err == nil {
			s.Errorf("%s: the answer is %q, want the connection closed", name, answer)
			_ = conn.Close()
		} else if s.ctx.Err() != nil {
			s.Fatalf("%s: the connection is not closed", name)
		}
	}
	if _, err := s.agent.Info(s.ctx); err != nil {
		s.Errorf("the agent after that: %v", err)
	}
}
