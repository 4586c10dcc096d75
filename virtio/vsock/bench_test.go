//go:build linux

package vsock

import (
	"io"
	"testing"
	"time"
)

// The guest of these benchmarks is the scripted one in this process, so the figures hold its cost too.

// BenchmarkRoundTrip is one byte from a host program to the guest and back.
func BenchmarkRoundTrip(b *testing.B) {
	g := startGuest(b, Config{}, true)
	c, host := g.hostDials(7)
	_ = c.SetDeadline(time.Time{})
	one := []byte{1}
	forwarded := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(one); err != nil {
			b.Fatal(err)
		}
		forwarded += uint32(len(g.expect(opData, 7, host).data))
		h := g.packet(opData, 7, host)
		h.fwdCnt = forwarded
		g.send(h, one)
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkToGuest is a stream from a host program to the guest, in the guest's buffers of 4 KiB.
func BenchmarkToGuest(b *testing.B) {
	g := startGuest(b, Config{}, true)
	c, host := g.hostDials(7)
	_ = c.SetDeadline(time.Time{})
	const chunk = 64 << 10
	b.SetBytes(chunk)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, chunk)
		for {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	forwarded := uint32(0)
	for b.Loop() {
		for got := 0; got < chunk; {
			p := g.next()
			got += len(p.data)
			before := forwarded
			forwarded += uint32(len(p.data))
			if before>>16 != forwarded>>16 || p.op == opCreditRequest {
				h := g.packet(opCreditUpdate, 7, host)
				h.fwdCnt = forwarded
				g.send(h, nil)
			}
		}
	}
	_ = c.Close()
	<-done
}

// BenchmarkFromGuest is a stream from the guest to a host program.
func BenchmarkFromGuest(b *testing.B) {
	g := startGuest(b, Config{}, true)
	c, host := g.hostDials(7)
	_ = c.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 64<<10))
	}()
	b.SetBytes(txRoom)
	b.ReportAllocs()
	data := pattern(0, txRoom)
	window, forwarded, sent := uint32(minWindow), uint32(0), uint32(0)
	for b.Loop() {
		for left := data; len(left) > 0; {
			n := min(int(window-(sent-forwarded)), len(left))
			if n == 0 {
				p := g.expect(opCreditUpdate, 7, host)
				window, forwarded = p.bufAlloc, p.fwdCnt
				continue
			}
			g.send(g.packet(opData, 7, host), left[:n])
			sent += uint32(n)
			left = left[n:]
		}
	}
	_ = c.Close()
	<-done
}
