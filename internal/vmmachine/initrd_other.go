//go:build !linux

package vmmachine

import (
	"os"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Initrd concatenates the segments in a file that has no name any more, since this system has no memory files. The caller
// closes it. No segments give nil.
func Initrd(segments []vmm.Segment) (*os.File, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	out, err := os.CreateTemp("", "voidbox-initrd-*")
	if err != nil {
		return nil, fileError("initrd", err)
	}
	if err := os.Remove(out.Name()); err != nil {
		_ = out.Close()
		return nil, fileError("initrd", err)
	}
	if err := concatenate(out, segments); err != nil {
		_ = out.Close()
		return nil, err
	}
	return out, nil
}
