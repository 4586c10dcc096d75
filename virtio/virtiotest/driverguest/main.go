//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	total   = 32 << 20 // bytes through each device
	chunk   = 256 << 10
	timeout = 2 * time.Minute
)

func main() {
	err := run()
	if err != nil {
		fmt.Println("driverguest: failed:", err)
	} else {
		fmt.Println("driverguest: done")
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {} // init must not end
}

func run() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.kind, err)
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{{"modules", loadModules}, {"network", configure}, {"udp", tryUDP}, {"tcp", tryTCP}, {"share", tryShare}} {
		start := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("driverguest:", step.name, time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// loadModules loads /modules in the order of its names.
func loadModules() error {
	files, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, f := range files {
		image, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := unix.InitModule(image, ""); err != nil && err != unix.EEXIST {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

// configure brings eth0 up as 10.0.2.15/24.
func configure() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, a := range []struct {
		request uint
		ip      []byte
	}{{unix.SIOCSIFADDR, []byte{10, 0, 2, 15}}, {unix.SIOCSIFNETMASK, []byte{255, 255, 255, 0}}} {
		r, err := unix.NewIfreq("eth0")
		if err != nil {
			return err
		}
		if err := r.SetInet4Addr(a.ip); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, a.request, r); err != nil {
			return fmt.Errorf("address: %w", err)
		}
	}
	r, err := unix.NewIfreq("eth0")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	carrier, err := os.ReadFile("/sys/class/net/eth0/carrier")
	if err != nil || string(carrier) != "1\n" {
		return fmt.Errorf("carrier %q, %w", carrier, err)
	}
	return nil
}

// tryUDP sends datagrams to the mirror, the larger ones in fragments.
func tryUDP() error {
	c, err := net.Dial("udp", "10.0.2.2:7")
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(timeout))
	got := make([]byte, 1<<16)
	for _, n := range []int{1, 100, 1472, 1473, 9000, 65507} {
		want := random(int64(n), n)
		if _, err := c.Write(want); err != nil {
			return err
		}
		m, err := c.Read(got)
		if err != nil {
			return fmt.Errorf("datagram of %d bytes: %w", n, err)
		}
		if !bytes.Equal(got[:m], want) {
			return fmt.Errorf("datagram of %d bytes came back wrong, as %d", n, m)
		}
	}
	return nil
}

// tryTCP sends a stream to itself by way of the mirror.
func tryTCP() error {
	c, err := net.DialTimeout("tcp", "10.0.2.2:7777", timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(timeout))
	wrote := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < total/chunk && err == nil; i++ {
			_, err = c.Write(random(int64(i), chunk))
		}
		wrote <- err
	}()
	got := make([]byte, chunk)
	for i := range total / chunk {
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if !bytes.Equal(got, random(int64(i), chunk)) {
			return fmt.Errorf("wrong bytes in piece %d", i)
		}
	}
	return <-wrote
}

// tryShare writes a file to the share and reads it back past the page cache.
func tryShare() error {
	if err := os.MkdirAll("/share", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("share", "/share", "virtiofs", 0, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	want := random(1, total)
	if err := os.WriteFile("/share/file", want, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	got, err := os.ReadFile("/share/file")
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("wrong bytes in a file of %d", len(got))
	}
	if _, err := os.Stat("/share/other"); !os.IsNotExist(err) {
		return fmt.Errorf("a file that does not exist: %w", err)
	}
	return nil
}

func random(seed int64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.New(rand.NewSource(seed)).Read(b)
	return b
}
