package sdk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// divertStdout returns standard output under a new descriptor, and makes descriptor 1 mean standard error: a stray print, a C
// library or a child process then writes to the log instead of into the handshake.
func divertStdout() (*os.File, error) {
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate standard output: %w", err)
	}
	if err := duplicate(2, 1); err != nil {
		return nil, fmt.Errorf("replace standard output: %w", err)
	}
	return os.NewFile(uintptr(fd), "handshake"), nil
}
