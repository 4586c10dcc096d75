package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	sandboxapi "github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	pings        = 500 // of a round
	vsockBytes   = 32 << 20
	vsockRepeats = 5 // of each measurement in a boot
	vsockPeer    = "vhost-vsock, bridged to a unix socket"
)

// measureVsock compares connections that the guest makes to the host: our device in user space beside vhost-vsock, whose host side
// is bridged to the same kind of unix socket.
func measureVsock(ctx context.Context, b *bench) ([]benchtable.Row, error) {
	program, err := os.ReadFile(filepath.Join(b.bin, "bench-vsock-guest"))
	if err != nil {
		return nil, err
	}
	err = b.turns(ctx, sandbox.Spec{}, nil, func(mine bool, box *box, into *record) error {
		load, err := newLoad(ctx, box, program)
		if err != nil {
			return err
		}
		defer load.close()
		for range vsockRepeats {
			ns, err := load.run(ctx, "ping", pings)
			if err != nil {
				return err
			}
			into.add("ping", mine, ns/1e3)
			for _, mode := range []string{"send", "receive"} {
				if ns, err = load.run(ctx, mode, vsockBytes); err != nil {
					return err
				}
				into.add(mode, mine, vsockBytes/ns*1e9/1e6)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows := []benchtable.Row{
		b.compare("ping", "vsock round trip of one byte, guest to host, p50", "us", vsockPeer),
		b.compare("send", "vsock throughput, guest to host", "MB/s", vsockPeer),
		b.compare("receive", "vsock throughput, host to guest", "MB/s", vsockPeer),
	}
	rows[0].Goal, rows[0].Floor = benchtable.AtMost(1.5), benchtable.AtMost(2.0)
	for i := range rows[1:] {
		rows[i+1].Goal, rows[i+1].Floor = benchtable.AtLeast(1.0), benchtable.AtLeast(0.7)
	}
	return rows, nil
}

// load is the host's half: it answers on benchPort what the guest's program asks for.
type load struct {
	box      *box
	listener net.Listener
	mu       sync.Mutex
	mode     string
	tasks    sync.WaitGroup
}

const guestProgram = "/tmp/bench-vsock-guest"

func newLoad(ctx context.Context, box *box, program []byte) (*load, error) {
	opt := sandboxapi.WriteOptions{Mode: 0o755}
	if _, err := box.WriteFile(ctx, guestProgram, opt, bytes.NewReader(program)); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", fmt.Sprintf("%s_%d", box.SocketPath(), benchPort))
	if err != nil {
		return nil, err
	}
	l := &load{box: box, listener: listener}
	l.tasks.Go(l.serve)
	return l, nil
}

func (l *load) close() {
	_ = l.listener.Close()
	l.tasks.Wait()
}

// run has the guest measure, and returns nanoseconds.
func (l *load) run(ctx context.Context, mode string, n int) (float64, error) {
	l.mu.Lock()
	l.mode = mode
	l.mu.Unlock()
	var out, errs bytes.Buffer
	exit, err := l.box.Exec(ctx, sandboxapi.Command{
		Args: []string{guestProgram, mode, strconv.Itoa(benchPort), strconv.Itoa(n)},
	}, sandboxapi.IO{Stdout: &out, Stderr: &errs})
	if err != nil {
		return 0, err
	}
	if exit.Code != 0 {
		return 0, fmt.Errorf("%s in the guest: exit %d: %s", mode, exit.Code, errs.String())
	}
	return strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
}

func (l *load) serve() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.answer(conn)
		_ = conn.Close()
	}
}

func (l *load) answer(conn net.Conn) {
	l.mu.Lock()
	mode := l.mode
	l.mu.Unlock()
	switch mode {
	case "ping":
		_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 16))
	case "send":
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(conn, vsockBytes), make([]byte, 256<<10)); err == nil {
			_, _ = conn.Write([]byte{1})
		}
	case "receive":
		chunk := make([]byte, 256<<10)
		for sent := 0; sent < vsockBytes; {
			n, err := conn.Write(chunk[:min(len(chunk), vsockBytes-sent)])
			if err != nil {
				return
			}
			sent += n
		}
		_, _ = conn.Read(chunk[:1]) // the guest's end
	}
}
