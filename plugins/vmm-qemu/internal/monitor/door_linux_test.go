package monitor

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
)

// someProcess passes for the QEMU that a door waits for.
func someProcess(pid int) *process {
	return &process{cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}, done: make(chan struct{})}
}

func knock(t *testing.T, d *door) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", "@"+d.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestDoorAdmitsQEMUOnce(t *testing.T) {
	d, err := openDoor()
	if err != nil {
		t.Fatal(err)
	}
	knock(t, d)
	conn, err := d.admit(someProcess(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := net.Dial("unix", "@"+d.name); err == nil {
		t.Error("the door is still open")
	}
}

func TestDoorTurnsStrangersAway(t *testing.T) {
	d, err := openDoor()
	if err != nil {
		t.Fatal(err)
	}
	stranger := knock(t, d)
	qemu := someProcess(os.Getppid())
	admitted := make(chan error, 1)
	go func() {
		_, err := d.admit(qemu)
		admitted <- err
	}()
	if _, err := stranger.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the stranger reads: %v", err)
	}
	close(qemu.done) // without ever coming
	if err := <-admitted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("admit = %v", err)
	}
}
