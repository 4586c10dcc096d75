package monitor

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/voidbox-run/voidbox/internal/fdpass"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/jail"
)

// A door is an abstract unix address where QEMU, and nobody else, is let in.
//
// QEMU's network back end refuses a socket that it inherits: chardev/char-socket.c gives the feature that it asks for to sockets
// with a path only. So QEMU has to connect, and its jail lets it connect to no address longer than a door's. Whoever finds the
// address can knock, which is why the one who comes in has to be the process that we started.
type door struct {
	name     string
	listener *net.UnixListener
}

func openDoor() (*door, error) {
	for {
		name := rand.Text()[:jail.DoorName]
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: "@" + name})
		if errors.Is(err, syscall.EADDRINUSE) {
			continue // another VM's, for the moment that it takes QEMU to come
		}
		if err != nil {
			return nil, fmt.Errorf("listen for QEMU: %w", os.NewSyscallError("listen", err))
		}
		return &door{name, l}, nil
	}
}

// admit waits for QEMU and closes the door behind it. A QEMU that ends instead is net.ErrClosed.
func (d *door) admit(qemu *process) (*net.UnixConn, error) {
	var watch sync.WaitGroup
	came := make(chan struct{})
	watch.Go(func() {
		select {
		case <-came:
		case <-qemu.done:
		}
		d.close()
	})
	defer watch.Wait()
	defer close(came)
	for {
		conn, err := d.listener.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if fdpass.CheckPeerProcess(conn, qemu.cmd.Process.Pid) == nil {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func (d *door) close() { _ = d.listener.Close() }
