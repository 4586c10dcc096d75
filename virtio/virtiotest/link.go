//go:build linux

package virtiotest

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
	"github.com/voidbox-run/voidbox/link"
)

// NewLink returns the two ends of a link: the device's, which asked for it, and that of a plugin with such terms. The plugin's
// end is closed with the test; the device's belongs to the device.
func NewLink(t testing.TB, terms link.Terms, ask link.Ask) (device, plugin *link.Link) {
	t.Helper()
	a, b := packetSockets(t)
	return connect(t, a, b, terms, ask)
}

// A TappedLink is a link with somebody in between, who has the shared memory too: a peer that breaks the link's rules.
type TappedLink struct {
	Device, Plugin *link.Link
	// Memory is the link's, laid out as package link says.
	Memory []byte
	// Events are the eventfds, four a lane, in the order of the handshake: up ring records, up ring room, and those of the
	// down ring.
	Events []int
}

// NewTappedLink is NewLink with a tap.
func NewTappedLink(t testing.TB, terms link.Terms, ask link.Ask) *TappedLink {
	t.Helper()
	a, deviceSide := packetSockets(t)
	pluginSide, b := packetSockets(t)
	tapped := &TappedLink{}
	taken := make(chan struct{})
	var pumps sync.WaitGroup
	pumps.Go(func() { pump(deviceSide, pluginSide, nil) })
	pumps.Go(func() {
		var once sync.Once
		pump(pluginSide, deviceSide, func(fds []int) {
			once.Do(func() {
				tapped.Memory, tapped.Events = mapFile(t, fds[0]), duplicates(t, fds[1:])
				close(taken)
			})
		})
	})
	tapped.Device, tapped.Plugin = connect(t, a, b, terms, ask)
	<-taken
	t.Cleanup(func() {
		_ = deviceSide.Close()
		_ = pluginSide.Close()
		pumps.Wait()
		_ = unix.Munmap(tapped.Memory)
		fdpass.CloseAll(tapped.Events)
	})
	return tapped
}

// HoldUp has the peer hold up the device's next signal that there is something new on a lane: its counter is full and the eventfd
// made blocking, and the device is asked for a kick. It returns a function that tells whether the device has come to publish
// something.
func (l *TappedLink) HoldUp(t testing.TB, lane int) (published func() bool) {
	t.Helper()
	const laneEvents, dataEvent = 4, 128
	fd := l.Events[lane*laneEvents]
	full := binary.NativeEndian.AppendUint64(nil, 1<<64-2)
	if _, err := unix.Write(fd, full); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	control := l.Memory[lane*len(l.Memory)/l.Device.Lanes():]
	before := load32(control[:4])
	store32(control[dataEvent:][:4], before)
	return func() bool { return load32(control[:4]) != before }
}

func packetSockets(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func connect(t testing.TB, a, b *net.UnixConn, terms link.Terms, ask link.Ask) (device, plugin *link.Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	offered := make(chan error, 1)
	go func() {
		var err error
		plugin, err = link.Offer(ctx, b, terms)
		offered <- err
	}()
	device, err := link.Connect(ctx, a, ask)
	if oerr := <-offered; err != nil || oerr != nil {
		t.Fatal(err, oerr)
	}
	t.Cleanup(plugin.Close)
	return device, plugin
}

// pump passes messages and descriptors on until one end hangs up, and then hangs up at the other.
func pump(from, to *net.UnixConn, seen func(fds []int)) {
	defer to.Close()
	for buf := make([]byte, 4096); ; {
		n, fds, err := fdpass.Receive(from, buf, fdpass.MaxFDs)
		if err != nil {
			return
		}
		if seen != nil && len(fds) > 0 {
			seen(fds)
		}
		err = fdpass.Send(to, buf[:n], fds...)
		fdpass.CloseAll(fds)
		if err != nil {
			return
		}
	}
}

func mapFile(t testing.TB, fd int) []byte {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Error(err)
		return nil
	}
	b, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Error(err)
	}
	return b
}

func duplicates(t testing.TB, fds []int) (dups []int) {
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			continue
		}
		dups = append(dups, dup)
	}
	return dups
}
