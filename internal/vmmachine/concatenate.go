package vmmachine

import (
	"fmt"
	"io"
	"os"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// alignment of a segment's start, in bytes. The kernel looks for an archive at multiples of four, and cpio pads to this.
const alignment = 512

// concatenate writes the segments one after the other. A user's own initrd may have any length, hence the padding.
func concatenate(out io.Writer, segments []vmm.Segment) error {
	for i, s := range segments {
		n, err := appendSegment(out, s)
		if err == nil {
			_, err = out.Write(make([]byte, -n&(alignment-1)))
		}
		if err != nil {
			return fileError(fmt.Sprintf("initrd segment %d", i), err)
		}
	}
	return nil
}

func appendSegment(out io.Writer, s vmm.Segment) (int64, error) {
	if s.Path == "" {
		n, err := out.Write(s.Content)
		return int64(n), err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(out, f) // copy_file_range or splice where the kernel can
}
