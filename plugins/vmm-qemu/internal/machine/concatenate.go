package machine

import (
	"fmt"
	"io"
	"os"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func concatenate(out io.Writer, segments []vmm.Segment) error {
	for i, s := range segments {
		if err := appendSegment(out, s); err != nil {
			return fileError(fmt.Sprintf("initrd segment %d", i), err)
		}
	}
	return nil
}

func appendSegment(out io.Writer, s vmm.Segment) error {
	if s.Path == "" {
		_, err := out.Write(s.Content)
		return err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f) // copy_file_range or splice where the kernel can
	return err
}
