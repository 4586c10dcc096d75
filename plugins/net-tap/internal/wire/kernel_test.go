//go:build linux

package wire

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// kernel is a guest whose part the kernel plays, in a network namespace of its own.
type kernel struct {
	t  *testing.T
	do chan func()
}

// newKernel connects one to an attachment.
func newKernel(t *testing.T, at network.Attached, g taplink.Guest) *kernel {
	t.Helper()
	k := &kernel{t: t, do: make(chan func())}
	ready, lived := make(chan *tap.Queue, 1), make(chan error, 1)
	go func() {
		lived <- taplink.InNamespace("", func() error {
			q, err := g.Make()
			ready <- q
			if err != nil {
				return err
			}
			for f := range k.do {
				f()
			}
			return nil
		})
	}()
	q := <-ready
	if q == nil {
		t.Fatal(<-lived)
	}
	l, err := link.Dial(t.Context(), at.SocketPath, taplink.Ask())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	bridged := make(chan error, 1)
	go func() { bridged <- taplink.Bridge(ctx, q, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-bridged; !errors.Is(err, context.Canceled) {
			t.Errorf("bridge: %v", err)
		}
		l.Close()
		_ = q.Close()
		close(k.do)
		if err := <-lived; err != nil {
			t.Error(err)
		}
	})
	return k
}

// in runs f in the guest's namespace. What it opens stays there.
func (k *kernel) in(f func() error) {
	k.t.Helper()
	done := make(chan error)
	k.do <- func() { done <- f() }
	if err := <-done; err != nil {
		k.t.Fatal(err)
	}
}

func guestOf(spec network.Attachment) taplink.Guest {
	return taplink.Guest{Name: "guest", MAC: spec.GuestMAC, MTU: spec.MTU, Addresses: spec.Guest, Gateways: []netip.Addr{wiretest.GatewayIP, wiretest.GatewayIP6}}
}

func TestSegmentsCrossWhole(t *testing.T) {
	spec := wiretest.Layout()
	n := newNetwork(t, Options{})
	at, err := n.Attach(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	k := newKernel(t, at, guestOf(spec))
	for _, gateway := range []netip.Addr{wiretest.GatewayIP, wiretest.GatewayIP6} {
		guest, host := k.connect(net.TCPAddrFromAddrPort(netip.AddrPortFrom(gateway, 0)))
		sentBytes, sentFrames := stat(t, n, "nic.sent_bytes"), stat(t, n, "nic.sent_frames")
		const size = 8 << 20
		transfer(t, guest, host, size)
		transfer(t, host, guest, size)
		sentBytes, sentFrames = stat(t, n, "nic.sent_bytes")-sentBytes, stat(t, n, "nic.sent_frames")-sentFrames
		received := stat(t, n, "nic.received_bytes") / stat(t, n, "nic.received_frames")
		t.Logf("%v: %d bytes in %d frames to the host, %d bytes a frame to the guest", gateway, sentBytes, sentFrames, received)
		// Acknowledgements are frames, too: without segmentation offload the average could not come near the MTU.
		if sentBytes/sentFrames < uint64(spec.MTU) || received < uint64(spec.MTU) {
			t.Error("segments do not cross in one piece")
		}
	}
	for _, name := range []string{"nic.dropped.offload", "nic.dropped.refused", "nic.dropped.not_accepted"} {
		if dropped := stat(t, n, name); dropped != 0 {
			t.Errorf("%s: %d", name, dropped)
		}
	}
}

// connect returns the ends of a connection from the guest to the host.
func (k *kernel) connect(to *net.TCPAddr) (guest, host net.Conn) {
	k.t.Helper()
	l, err := net.ListenTCP("tcp", to)
	if err != nil {
		k.t.Fatal(err)
	}
	defer l.Close()
	k.in(func() (err error) {
		guest, err = net.Dial("tcp", l.Addr().String()) // an address: no resolver, and no other goroutine
		return err
	})
	if host, err = l.Accept(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _, _ = guest.Close(), host.Close() })
	return guest, host
}

// transfer sends random bytes and compares what comes with what was sent.
func transfer(t *testing.T, from, to net.Conn, size int64) {
	t.Helper()
	sent, came := sha256.New(), sha256.New()
	var sender sync.WaitGroup
	sender.Go(func() {
		if _, err := io.CopyN(io.MultiWriter(from, sent), rand.NewChaCha8([32]byte{1}), size); err != nil {
			t.Error(err)
		}
	})
	if _, err := io.CopyN(came, to, size); err != nil {
		t.Error(err)
	}
	sender.Wait()
	if [32]byte(sent.Sum(nil)) != [32]byte(came.Sum(nil)) {
		t.Error("other bytes came than were sent")
	}
}

// Two guests on one bridge reach each other, and nothing else has an address.
func TestGuestsOnABridge(t *testing.T) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(bridge) })
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
	var kernels []*kernel
	for i := range 2 {
		spec := wiretest.Layout()
		spec.Guest = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 2, byte(20 + i)}), 24)}
		spec.GuestMAC = net.HardwareAddr{0x52, 0x54, 0, 0, 0, byte(i)}
		at, err := newNetwork(t, Options{Bridge: "br0"}).Attach(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		g := guestOf(spec)
		g.Gateways = nil
		kernels = append(kernels, newKernel(t, at, g))
	}
	var l net.Listener
	kernels[0].in(func() (err error) {
		l, err = net.Listen("tcp", "10.0.2.20:0")
		return err
	})
	defer l.Close()
	var client net.Conn
	kernels[1].in(func() (err error) {
		client, err = net.Dial("tcp", l.Addr().String())
		return err
	})
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	transfer(t, client, server, 4<<20)
	transfer(t, server, client, 4<<20)
}
