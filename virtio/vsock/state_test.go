//go:build linux

package vsock

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// abused returns a device on whose host side programs come and go.
func abused(t testing.TB) virtio.Device {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vsock")
	d, err := New(Config{GuestCID: testCID, Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	t.Cleanup(func() {
		for _, c := range clients {
			_ = c.Close()
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	for port := range 4 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		if _, err := fmt.Fprintf(c, "CONNECT %d\nhello", port); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestAbuse(t *testing.T) { virtiotest.Abuse(t, abused) }

// FuzzVsockDevice lets the fuzzer write registers and rings. FuzzVsockPacket knows what is in the packets.
func FuzzVsockDevice(f *testing.F) {
	var raw [headerSize]byte
	header{srcCID: testCID, dstCID: HostCID, srcPort: 1, dstPort: 2, kind: typeStream, op: opRequest, bufAlloc: 4096}.encode(&raw)
	virtiotest.AddScripts(f, queueTX, raw[:], raw[:20])
	virtiotest.AddScripts(f, queueRX, nil)
	virtiotest.AddScripts(f, queueEvent, nil)
	f.Fuzz(func(t *testing.T, script []byte) { virtiotest.Play(t, abused, script, nil) })
}

// moveTo takes the guest to a new device, as a restored snapshot does.
func (g *guest) moveTo(cfg Config) {
	g.t.Helper()
	other := newGuest(g.t, cfg)
	g.mmio = g.mmio.Move(other.dev)
	g.dev, g.path = other.dev, other.path
}

func (d *Device) isConnecting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns) > 0
}

// offerEvent offers a buffer in the event queue and returns its address.
func (g *guest) offerEvent() uint64 {
	addr := g.mem.Alloc(eventSize)
	copy(g.mem.At(addr, eventSize), "\xff\xff\xff\xff")
	g.event.Add(virtiotest.Buffer{Addr: addr, Len: eventSize, Write: true})
	g.event.Publish()
	return addr
}

func TestMove(t *testing.T) {
	g := startMMIO(t, Config{})
	stays := g.guestDials(g.listenHost(5000), 1000, 5000)
	_, port := g.hostDials(7)
	g.moveTo(Config{})

	// A host program may be faster than the guest. It waits.
	early := g.command("CONNECT 7\n")
	for !g.dev.isConnecting() {
		runtime.Gosched()
	}
	g.mmio.Transport.Pause()
	g.mmio.Transport.Resume() // if receive ran, it would serve the connection before it looks whether to stop
	g.mmio.Transport.Pause()
	g.mmio.Transport.Resume()
	if _, _, ok := g.rx.Reap(); ok {
		t.Error("the guest hears of a connection before it hears of the move")
	}
	event := g.offerEvent()
	if _, n := g.event.Wait(); n != eventSize || string(g.mem.At(event, eventSize)) != "\x00\x00\x00\x00" {
		t.Fatalf("event %x of %d bytes", g.mem.At(event, eventSize), n)
	}
	p := g.next()
	if p.op != opRequest || p.dstPort != 7 {
		t.Fatalf("after the event comes operation %d for port %d", p.op, p.dstPort)
	}
	if p.srcPort == port {
		t.Error("a new connection has the ports of one that the guest may still have")
	}
	g.send(g.packet(opResponse, 7, p.srcPort), nil)
	if got, want := readLine(t, early), fmt.Sprintf("OK %d", p.srcPort); got != want {
		t.Errorf("the host reads %q, want %q", got, want)
	}

	// Old connections are gone on this side, and open on the other until that ends.
	g.send(g.packet(opData, 1000, 5000), []byte("x"))
	g.expect(opReset, 1000, 5000)
	if _, err := io.WriteString(stays, "x"); err != nil {
		t.Errorf("the device that was left has closed its connection: %v", err)
	}

	// The guest is told once a move.
	g.offerEvent()
	g.mmio.Transport.Pause()
	g.mmio.Transport.Resume()
	g.expectNothing()
	if _, _, ok := g.event.Reap(); ok {
		t.Error("the guest is told again")
	}
	g.moveTo(Config{})
	g.event.Wait()
	g.guestDials(g.listenHost(5001), 1001, 5001)
}

// A guest's first driver has no connections to lose.
func TestMoveBeforeTheDriver(t *testing.T) {
	g := newGuest(t, Config{})
	state, err := g.dev.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	moved := startMMIO(t, Config{})
	moved.mmio.Transport.Pause()
	if err := moved.dev.LoadState(state); err != nil {
		t.Fatal(err)
	}
	moved.mmio.Reset()
	if moved.dev.moved {
		t.Error("a new driver would be told of a move")
	}
}

func TestLoadStateRefuses(t *testing.T) {
	d := newGuest(t, Config{}).dev
	for _, bad := range []string{
		"", "null", "{}", `{"version":2,"data":{"next_port":1073741824}}`, `{"version":1,"data":{"next_port":1}}`,
		`{"version":1,"data":{"next_port":4294967295}}`, `{"version":1,"data":{"next_port":1073741824,"more":1}}`,
	} {
		if err := d.LoadState([]byte(bad)); err == nil {
			t.Errorf("state %q is taken", bad)
		}
	}
	if d.moved || d.nextPort != firstHostPort {
		t.Error("a refused state has left traces")
	}
}
