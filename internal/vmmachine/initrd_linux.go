package vmmachine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Initrd concatenates the segments in a sealed memory file: a machine takes one initrd only, and the boot segment, which holds a
// secret, must not touch a disk. The caller closes it. No segments give nil.
func Initrd(segments []vmm.Segment) (*os.File, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	fd, err := unix.MemfdCreate("initrd", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a memory file for the initrd: %w", err)
	}
	out := os.NewFile(uintptr(fd), "initrd")
	if err := concatenate(out, segments); err != nil {
		_ = out.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(out.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("seal the initrd: %w", err)
	}
	return out, nil
}
