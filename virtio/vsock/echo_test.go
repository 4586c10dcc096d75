//go:build linux

package vsock

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"sync"
	"testing"
)

// echo is a guest program that sends back what it receives on one connection, within the credit of both sides.
type echo struct {
	queue              []byte
	sent, forwarded    uint32 // bytes sent to the host; bytes of the host that have been sent back
	window, peerFwd    uint32
	hostDone, finished bool
}

const echoWindow = 20_000

// serveEchoes plays all of the guest's programs until n connections have ended.
func (g *guest) serveEchoes(n int) {
	conns := make(map[key]*echo)
	for ended := 0; ended < n; {
		p := g.next()
		k := key{guest: p.dstPort, host: p.srcPort}
		e := conns[k]
		if e == nil && p.op != opRequest {
			g.t.Errorf("operation %d for no connection", p.op)
			return
		}
		switch p.op {
		case opRequest:
			e = &echo{}
			conns[k] = e
			g.sendEcho(k, e, opResponse, nil)
		case opData:
			e.queue = append(e.queue, p.data...)
			if len(e.queue) > echoWindow {
				g.t.Errorf("%d bytes for a credit of %d", len(e.queue), echoWindow)
				return
			}
		case opShutdown:
			e.hostDone = e.hostDone || p.flags&shutSend != 0
		case opCreditRequest:
			g.sendEcho(k, e, opCreditUpdate, nil)
		case opReset:
			delete(conns, k)
			ended++
			continue
		}
		e.window, e.peerFwd = p.bufAlloc, p.fwdCnt
		g.pump(k, e)
	}
}

// pump sends back what credit allows, and closes after the last byte.
func (g *guest) pump(k key, e *echo) {
	for len(e.queue) > 0 {
		room := int(e.window - (e.sent - e.peerFwd))
		if room <= 0 {
			return
		}
		chunk := e.queue[:min(len(e.queue), room, txRoom)]
		e.queue = e.queue[len(chunk):]
		e.sent += uint32(len(chunk))
		e.forwarded += uint32(len(chunk))
		g.sendEcho(k, e, opData, chunk)
	}
	if e.hostDone && !e.finished {
		e.finished = true
		g.sendEcho(k, e, opShutdown, nil)
	}
}

func (g *guest) sendEcho(k key, e *echo, op operation, data []byte) {
	h := g.packet(op, k.guest, k.host)
	h.bufAlloc, h.fwdCnt = echoWindow, e.forwarded
	if op == opShutdown {
		h.flags = shutBoth
	}
	g.send(h, data)
}

// Several connections carry MiBs in both directions at once; every byte comes back.
func TestEcho(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		const conns, size = 6, 3 << 20
		g := start(Config{})
		var hosts sync.WaitGroup
		for i := range conns {
			hosts.Go(func() {
				if err := echoed(g.path, int64(i), size); err != nil {
					t.Error(err)
				}
			})
		}
		g.serveEchoes(conns)
		hosts.Wait()
	})
}

func TestEchoOfManyConnections(t *testing.T) {
	const conns = 1500
	g := startGuest(t, Config{}, true)
	var hosts sync.WaitGroup
	for i := range conns {
		hosts.Go(func() {
			if err := echoed(g.path, int64(i), 3000); err != nil {
				t.Error(err)
			}
		})
	}
	g.serveEchoes(conns)
	hosts.Wait()
	if n := g.buffered(); n > conns*keepBuffer {
		t.Errorf("%d bytes are still buffered", n)
	}
}

// echoed sends size random bytes to an echo program and compares what comes back.
func echoed(path string, seed int64, size int) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "CONNECT 7\n"); err != nil {
		return err
	}
	for b := []byte{0}; b[0] != '\n'; {
		if _, err := c.Read(b); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
	}
	want := sha256.New()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(c, want), io.LimitReader(rand.New(rand.NewSource(seed)), int64(size)))
		if err == nil {
			err = c.(*net.UnixConn).CloseWrite()
		}
		sent <- err
	}()
	got := sha256.New()
	n, err := io.Copy(got, c)
	if serr := <-sent; err == nil {
		err = serr
	}
	if err == nil && string(got.Sum(nil)) != string(want.Sum(nil)) {
		err = fmt.Errorf("%d bytes came back, and they differ", n)
	}
	return err
}
