package files

import (
	"context"
	"io"
	"os"

	"github.com/voidbox-run/voidbox/guest/agent/internal/errno"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/tree"
)

// ReadTree writes a file or a directory as an archive.
func (f *Files) ReadTree(ctx context.Context, p string, w io.Writer) (sandbox.TreeStats, error) {
	p, err := clean(p)
	if err != nil {
		return sandbox.TreeStats{}, err
	}
	stats, err := tree.Pack(ctx, p, w)
	return sandbox.TreeStats(stats), errno.Wrap(err)
}

// WriteTree makes a file or a directory of an archive. All of it belongs to the account that opt names.
func (f *Files) WriteTree(ctx context.Context, p string, opt sandbox.TreeOptions, archive io.Reader) (sandbox.TreeStats, error) {
	p, err := clean(p)
	if err != nil {
		return sandbox.TreeStats{}, err
	}
	user, err := f.Lookup(opt.User)
	if err != nil {
		return sandbox.TreeStats{}, err
	}
	options := tree.Options{Privileged: true}
	if os.Geteuid() == 0 {
		options.Owner = &tree.Owner{UID: int(user.UID), GID: int(user.GID)}
	}
	stats, err := tree.Unpack(ctx, p, options, archive)
	return sandbox.TreeStats(stats), errno.Wrap(err)
}
