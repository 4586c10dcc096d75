package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func loadModules(files []string) error {
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// openPort opens the port to the host. The kernel makes its node in the background, so it may not be there yet.
func openPort() (*os.File, error) {
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, filepath.Dir(Port), unix.IN_CREATE|unix.IN_ATTRIB); err != nil {
		return nil, fmt.Errorf("watch /dev: %w", err)
	}
	events := make([]byte, 4096)
	for {
		port, err := os.OpenFile(Port, os.O_RDWR, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return port, err
		}
		if _, err := unix.Read(watch, events); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for %s: %w", Port, err)
		}
	}
}

func raiseLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return netlink.LinkSetUp(lo)
}
