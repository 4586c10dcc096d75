package slirp

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// kernel is a guest whose part a real kernel plays, in a network namespace of its own.
type kernel struct {
	t     *testing.T
	do    chan func()
	ended chan struct{}
}

// newKernel attaches one to a network that has the given services.
func newKernel(t *testing.T, mtu int, servers ...net.Addr) *kernel {
	t.Helper()
	return newKernelBehind(t, taplink.Impairment{}, mtu, servers...)
}

// newKernelBehind is newKernel by a bad wire.
func newKernelBehind(t *testing.T, how taplink.Impairment, mtu int, servers ...net.Addr) *kernel {
	t.Helper()
	spec := wiretest.Layout()
	spec.MTU = mtu
	if mtu < minMTU6 {
		spec.Guest, spec.Gateway = spec.Guest[:1], spec.Gateway[:1]
	}
	for i, s := range servers {
		spec.Services = append(spec.Services, service(at(i), s))
	}
	return newKernelWith(t, how, spec)
}

// newKernelWith attaches one as it is written.
func newKernelWith(t *testing.T, how taplink.Impairment, spec network.Attachment) *kernel {
	t.Helper()
	if unix.Geteuid() != 0 {
		unavailable(t, "a TAP in a network namespace needs root")
	}
	n := newNetwork(t)
	attached, err := n.Attach(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t: t, do: make(chan func()), ended: make(chan struct{})}
	ready := make(chan *tap.Queue)
	go k.live(taplink.Guest{Name: "guest", MAC: wiretest.GuestMAC, MTU: spec.MTU, Addresses: spec.Guest, Gateways: []netip.Addr{wiretest.GatewayIP}}, ready)
	queue := <-ready
	if queue == nil {
		t.Fatal("no TAP")
	}
	l, err := link.Dial(t.Context(), attached.SocketPath, taplink.Ask())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var bridge sync.WaitGroup
	var wire taplink.Wire
	wire.Become(how)
	bridge.Go(func() {
		if err := taplink.BridgeBy(ctx, queue, l, &wire); !errors.Is(err, context.Canceled) {
			t.Errorf("bridge: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		bridge.Wait()
		l.Close()
		_ = queue.Close()
		close(k.do)
		<-k.ended
	})
	return k
}

// live is the goroutine, and the thread, that is in the namespace.
func (k *kernel) live(g taplink.Guest, ready chan<- *tap.Queue) {
	defer close(k.ended)
	err := taplink.InNamespace("", func() error {
		queue, err := g.Make()
		ready <- queue
		if err != nil {
			return err
		}
		for f := range k.do {
			f()
		}
		return nil
	})
	if err != nil {
		k.t.Error(err)
		close(ready)
	}
}

// in runs f in the namespace. What it opens stays there.
func (k *kernel) in(f func() error) {
	k.t.Helper()
	done := make(chan error)
	k.do <- func() { done <- f() }
	if err := <-done; err != nil {
		k.t.Fatal(err)
	}
}

func (k *kernel) dial(to netip.AddrPort) net.Conn {
	k.t.Helper()
	var conn net.Conn
	k.in(func() (err error) {
		conn, err = net.Dial("tcp", to.String()) // an address: no resolver, and no other goroutine
		return err
	})
	k.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exchange sends random bytes both ways at once and compares what comes with what was sent.
func exchange(t *testing.T, guest, host net.Conn, size int64) {
	t.Helper()
	var ends sync.WaitGroup
	var sums [4][32]byte
	send := func(i int, conn net.Conn) {
		hash := sha256.New()
		src := rand.NewChaCha8([32]byte{byte(i)})
		if _, err := io.CopyN(io.MultiWriter(conn, hash), src, size); err != nil {
			t.Errorf("send %d: %v", i, err)
		}
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		sums[i] = [32]byte(hash.Sum(nil))
	}
	receive := func(i int, conn net.Conn) {
		hash := sha256.New()
		if n, err := io.Copy(hash, conn); err != nil || n != size {
			t.Errorf("receive %d: %d bytes of %d, %v", i, n, size, err)
		}
		sums[i] = [32]byte(hash.Sum(nil))
	}
	ends.Go(func() { send(0, guest) })
	ends.Go(func() { receive(1, host) })
	ends.Go(func() { send(2, host) })
	ends.Go(func() { receive(3, guest) })
	ends.Wait()
	if sums[0] != sums[1] || sums[2] != sums[3] {
		t.Error("the bytes are others")
	}
}

func TestKernelAtEveryMTU(t *testing.T) {
	for _, mtu := range []int{576, 1280, 1500, 9000, 65520} {
		t.Run(strconv.Itoa(mtu), func(t *testing.T) {
			l := listen(t)
			k := newKernel(t, mtu, l.Addr())
			guest := k.dial(at(0))
			exchange(t, guest, accept(t, l), 8<<20)
		})
	}
}

// More than sequence numbers can count, one way.
func TestKernelSendsMoreThan4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	l := listen(t)
	k := newKernel(t, 65520, l.Addr())
	guest := k.dial(at(0))
	host := accept(t, l)
	const size = 4<<30 + 1<<20
	go func() {
		chunk := make([]byte, 1<<20)
		for sent := int64(0); sent < size; sent += int64(len(chunk)) {
			if _, err := guest.Write(chunk); err != nil {
				return
			}
		}
		_ = guest.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, host); n != size || err != nil {
		t.Errorf("%d bytes came, %v", n, err)
	}
}

// A wire that loses, repeats, reorders and holds up frames in both directions.
func TestKernelBehindABadWire(t *testing.T) {
	for name, how := range map[string]taplink.Impairment{
		"loss":    {Lost: 10, Seed: 1},
		"repeats": {Repeated: 50, Seed: 2},
		"reorder": {Late: 50, Seed: 3},
		"jitter":  {Stalled: 20, Seed: 4},
		"all":     {Lost: 10, Repeated: 10, Late: 20, Stalled: 5, Seed: 5},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			k := newKernelBehind(t, how, 1500, l.Addr())
			guest := k.dial(at(0))
			exchange(t, guest, accept(t, l), 2<<20)
		})
	}
}

// What a closed port is to a program on the guest's kernel.
func TestKernelLearnsThatAPortIsClosed(t *testing.T) {
	host, spec := hostServer(t)
	server, addr := listenUDP(t, host)
	_ = server.Close()
	k := newKernelWith(t, taplink.Impairment{}, spec)
	k.in(func() error {
		conn, err := net.Dial("udp", addr.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("anybody there?")); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("error %v", err)
		}
		return nil
	})
}
