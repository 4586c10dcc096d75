package image

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree brings everything below dir to the disk. A kernel's modules are some thousand files, so one syncfs is far
// cheaper than an fsync for each; it reports write errors as fsync does (since Linux 5.8).
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
