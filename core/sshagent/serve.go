package sshagent

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Command is the hidden command of voidbox that is an agent.
const Command = "ssh-agent"

// TokenSize is the length of what a connection begins with, in bytes.
const TokenSize = 32

// Bounds on what a guest may do. An ssh client opens one connection, and sends a handful of requests, for each login.
const (
	maxConnections = 64
	maxRequests    = 1000             // of one connection
	idleTime       = 10 * time.Minute // of a connection between requests: somebody may be typing
	messageTime    = 10 * time.Second // to send or take one
	signsPerSecond = 20               // of all connections; whoever wants more waits
	signsBurst     = 100
	maxRefusals    = 100 // that are told, in all: a guest can cause any number
)

// listenerFD is the socket that the process inherits.
const listenerFD = 3

// Serve is the process: it reads its configuration and the keys, confines itself, and serves until its input ends.
func Serve(in io.Reader, out io.Writer) error {
	reports := &reporter{enc: json.NewEncoder(out)}
	input := bufio.NewReader(in)
	server, listener, err := prepare(input, reports)
	if err != nil {
		reports.write(Report{Failed: &Failed{Message: err.Error(), Remedy: errdef.Remedy(err)}})
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { server.serve(ctx, listener) })
	reports.write(Report{Ready: true})
	_, err = io.Copy(io.Discard, input)
	cancel()
	_ = listener.Close()
	serving.Wait()
	return err
}

// prepare does what takes files, and ends with none left to open.
func prepare(input *bufio.Reader, reports *reporter) (*server, net.Listener, error) {
	var cfg Config
	line, err := input.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &cfg)
	}
	if err != nil {
		return nil, nil, errdef.New(errdef.ErrInvalid, "%s is what voidbox starts by itself: no configuration: %w", Command, err)
	}
	if len(cfg.Token) != TokenSize {
		return nil, nil, errdef.New(errdef.ErrInvalid, "the token has %d bytes, not %d", len(cfg.Token), TokenSize)
	}
	ring, err := newRing(cfg)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(listenerFD, "agent")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, nil, errdef.New(errdef.ErrInvalid, "%s is what voidbox starts by itself: no socket: %w", Command, err)
	}
	if err := confineProcess(cfg.Upstream != ""); err != nil {
		return nil, nil, errdef.New(errdef.ErrUnavailable, "confine the SSH agent: %w", err)
	}
	return newServer(ring, cfg, reports.write), listener, nil
}

// server serves connections.
type server struct {
	ring     *ring
	upstream string
	token    []byte
	signs    *rate.Limiter
	report   func(Report)
}

func newServer(ring *ring, cfg Config, report func(Report)) *server {
	return &server{
		ring: ring, upstream: cfg.Upstream, token: cfg.Token, signs: rate.NewLimiter(signsPerSecond, signsBurst), report: bounded(report),
	}
}

// bounded tells of so many refusals, and of every signature: those have a rate.
func bounded(report func(Report)) func(Report) {
	var mu sync.Mutex
	left := maxRefusals
	return func(r Report) {
		if r.Refused != nil {
			mu.Lock()
			left--
			over := left < 0
			mu.Unlock()
			if over {
				return
			}
		}
		report(r)
	}
}

// serve accepts until the listener is closed, and returns when the last connection has ended. The end of ctx ends them.
func (s *server) serve(ctx context.Context, listener net.Listener) {
	var open sync.WaitGroup
	defer open.Wait()
	listener = netutil.LimitListener(listener, maxConnections)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			s.talk(ctx, conn)
		})
	}
}

// talk serves one connection.
func (s *server) talk(ctx context.Context, conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(messageTime))
	shown := make([]byte, TokenSize)
	if _, err := io.ReadFull(conn, shown); err != nil || subtle.ConstantTimeCompare(shown, s.token) != 1 {
		return
	}
	session := &session{ring: s.ring, upstream: upstream{path: s.upstream}, report: s.report}
	defer session.upstream.close()
	buffered := bufio.NewReader(conn)
	for range maxRequests {
		msg, err := s.next(conn, buffered)
		if err != nil {
			return
		}
		if msg[0] == msgSignRequest && s.signs.Wait(ctx) != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(messageTime + upstreamTime))
		answer := session.answer(msg)
		_ = conn.SetDeadline(time.Now().Add(messageTime))
		if writeMessage(conn, answer) != nil {
			return
		}
	}
}

// next waits for a message to begin, and less long for it to end.
func (s *server) next(conn net.Conn, buffered *bufio.Reader) ([]byte, error) {
	_ = conn.SetDeadline(time.Now().Add(idleTime))
	if _, err := buffered.Peek(1); err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(messageTime))
	msg, err := readMessage(buffered)
	if err == nil && len(msg) == 0 {
		err = errors.New("an empty message")
	}
	return msg, err
}

// reporter writes reports, one after the other.
type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (r *reporter) write(report Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.enc.Encode(report) // who does not listen any more ends us by our input
}
