// Package pty makes pseudo-terminals.
package pty

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Terminal is the agent's end of a pseudo-terminal.
type Terminal struct{ *os.File }

// Open makes a pseudo-terminal of a size, and opens the end that a command gets, which belongs to an account. The caller
// closes both.
func Open(rows, cols uint16, uid, gid uint32) (*Terminal, *os.File, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	t := &Terminal{os.NewFile(uintptr(fd), "/dev/ptmx")}
	peer, err := t.peer(fd, uid, gid)
	if err == nil {
		err = t.Resize(rows, cols)
	}
	if err != nil {
		_ = t.Close()
		return nil, nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	return t, peer, nil
}

// peer opens the other end by descriptor, since /dev/pts may be another instance, or a trap, in the guest's hands.
func (t *Terminal) peer(fd int, uid, gid uint32) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	peerFD, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, errno
	}
	peer := os.NewFile(peerFD, "pts")
	if os.Geteuid() != 0 {
		return peer, nil
	}
	err := peer.Chown(int(uid), int(gid))
	if err == nil {
		err = peer.Chmod(0o620)
	}
	if err != nil {
		_ = peer.Close()
		return nil, err
	}
	return peer, nil
}

// Resize sets the size in characters; the kernel tells the foreground process group with SIGWINCH. Zero means 24 by 80.
func (t *Terminal) Resize(rows, cols uint16) error {
	if rows == 0 {
		rows = 24
	}
	if cols == 0 {
		cols = 80
	}
	return t.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
}

// EndOfInput types the end-of-file character, as a person would. midLine says that the last byte was not a line end: the
// first character then only passes the unfinished line on. A terminal in raw mode has no end of input.
func (t *Terminal) EndOfInput(midLine bool) error {
	var keys []byte
	err := t.control(func(fd int) error {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil || settings.Lflag&unix.ICANON == 0 {
			return err
		}
		keys = append(keys, settings.Cc[unix.VEOF])
		if midLine {
			keys = append(keys, settings.Cc[unix.VEOF])
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	_, err = t.Write(keys)
	return err
}

func (t *Terminal) control(fn func(fd int) error) error {
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}
