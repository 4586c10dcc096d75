package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/voidbox-run/voidbox/core/image/layer"
)

// fromDirectory makes an image of a directory. It has no digest of its own, so that its listing stands for it: name, type, owner,
// size and times of every file. A file that changes gets another time of change from the kernel, which no program can forge.
func (c *Cache) fromDirectory(ctx context.Context, path string) (*Image, error) {
	id, err := listing(ctx, path)
	if err != nil {
		return nil, err
	}
	return c.make(ctx, id, func(ctx context.Context, dir string) error {
		progress(ctx, "making a disk of %s", path)
		d, err := newDisk(dir)
		if err != nil {
			return err
		}
		defer d.file.Close()
		a := d.writer.NewAppender()
		tree, err := layer.ReadDirectory(ctx, path, a, d.budget)
		if err != nil {
			return err
		}
		if err := a.Flush(); err != nil {
			return err
		}
		return d.finish(tree, &Image{ID: id})
	})
}

func listing(ctx context.Context, root string) (id string, err error) {
	h := sha256.New()
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(h, "%q %o %d %d %d %d %d %d %d %d\n", path[len(root):], st.Mode, st.Uid, st.Gid, st.Size, st.Rdev, st.Dev, st.Ino,
			info.ModTime().UnixNano(), changeTime(st))
		return nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}
