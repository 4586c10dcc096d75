package button

import (
	"errors"
	"log/slog"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every kernel has the family that tells of families, so this is the kernel's own answer.
func TestOpenFindsFamilies(t *testing.T) {
	l, err := open("nlctrl", "notify")
	if err != nil {
		t.Fatal(err)
	}
	defer l.socket.Close()
	if l.at.family != unix.GENL_ID_CTRL || l.at.group == 0 {
		t.Errorf("address %+v", l.at)
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := open("nonesuch", "notify"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a family that is missing: %v", err)
	}
	if _, err := open("nlctrl", "nonesuch"); err == nil {
		t.Error("a group that is missing was found")
	}
}

func TestCloseEndsTheListening(t *testing.T) {
	l, err := open("nlctrl", "notify")
	if err != nil {
		t.Fatal(err)
	}
	l.log = slog.New(slog.DiscardHandler)
	go l.run()
	l.Close()
	select {
	case <-l.Pressed():
		t.Error("pressed")
	default:
	}
}

func TestNoListener(t *testing.T) {
	var l *Listener
	if l.Pressed() != nil {
		t.Error("a button that nobody listens to can be pressed")
	}
	l.Close()
}

// A program with root's rights can send to any netlink socket, in the kernel's words, but not in its name.
func TestOnlyTheKernelIsHeard(t *testing.T) {
	l, err := open("nlctrl", "notify")
	if err != nil {
		t.Fatal(err)
	}
	defer l.socket.Close()
	var own *unix.SockaddrNetlink
	_ = l.conn.Control(func(fd uintptr) {
		name, _ := unix.Getsockname(int(fd))
		own, _ = name.(*unix.SockaddrNetlink)
	})
	program, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(program)
	forged := message(l.at.family, cmdEvent, attribute(attrEvent, press()))
	if err := unix.Sendto(program, forged, 0, own); err != nil {
		t.Skipf("sending to another socket needs root: %v", err)
	}
	_ = l.conn.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), request("nlctrl"), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := l.next(make([]byte, maxDatagram))
	if err != nil {
		t.Fatal(err)
	}
	if pressed(datagram, l.at.family) {
		t.Error("the forged event was heard")
	}
	if at, err := parseAddress(datagram, "notify"); err != nil || at != l.at {
		t.Errorf("the kernel's own answer: %+v, %v", at, err)
	}
}
