//go:build linux

package link

import (
	"testing"

	"golang.org/x/sys/unix"
)

// waitFor returns a function that waits for an event of a descriptor as a data path does, and fails if there is none.
func waitFor(t *testing.T, fd int) func() {
	t.Helper()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(epoll) })
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		var events [1]unix.EpollEvent
		for {
			n, err := unix.EpollWait(epoll, events[:], 20000)
			if err == unix.EINTR {
				continue
			}
			if n != 1 || err != nil {
				t.Fatalf("no event: %v", err)
			}
			return
		}
	}
}

// Nobody takes the eventfd's count, and each kick is an event all the same.
func TestArmedReaderIsKicked(t *testing.T) {
	device, plugin := framesPair(t)
	out, in := device.Lane(0).Out, plugin.Lane(0).In
	kicked := waitFor(t, in.Event())
	var rec Record
	for range 100 {
		for !in.Arm() {
			if ok, err := in.Next(&rec); !ok && err != nil {
				t.Fatal(err)
			}
		}
		sendFrame(t, out, NetHeader{}, []byte("frame"))
		publish(t, out)
		kicked()
		if ok, err := in.Next(&rec); !ok || err != nil || rec.Kind != KindFrame {
			t.Fatalf("%v, %v, kind %d", ok, err, rec.Kind)
		}
		sendFrame(t, out, NetHeader{}, []byte("frame"))
		publish(t, out)
		if in.Arm() {
			t.Fatal("it sleeps, and there is a record")
		}
		if ok, _ := in.Next(&rec); !ok {
			t.Fatal("no record")
		}
	}
}

func TestArmedWriterIsKicked(t *testing.T) {
	device, plugin := framesPair(t)
	out, in := device.Lane(0).Out, plugin.Lane(0).In
	kicked := waitFor(t, out.Event())
	if out.Arm(KindFrame, 100) {
		t.Fatal("it sleeps, and there is room")
	}
	for range 3 {
		for !out.Arm(KindFrame, 1000) {
			if _, err := out.TryReserve(KindFrame, 1000); err != nil {
				t.Fatal(err)
			}
			out.CommitFrame(NetHeader{}, 1000)
		}
		var rec Record
		for {
			ok, err := in.Next(&rec)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
		}
		in.Release()
		kicked()
	}
}

func TestArmedEndsOfALinkThatIsDown(t *testing.T) {
	device, _ := framesPair(t)
	_ = device.Break(ErrClosed)
	if !device.Lane(0).In.Arm() || !device.Lane(0).Out.Arm(KindFrame, 10) {
		t.Error("there is something to do on a link that is down")
	}
}
