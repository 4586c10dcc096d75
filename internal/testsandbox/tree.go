package testsandbox

import (
	"context"
	"io"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/tree"
)

// ReadTree implements sandbox.Sandbox.
func (s *Sandbox) ReadTree(ctx context.Context, path string, w io.Writer) (sandbox.TreeStats, error) {
	if err := s.check("ReadTree"); err != nil {
		return sandbox.TreeStats{}, err
	}
	stats, err := tree.Pack(ctx, s.Host(path), w)
	return sandbox.TreeStats(stats), err
}

// WriteTree implements sandbox.Sandbox.
func (s *Sandbox) WriteTree(ctx context.Context, path string, _ sandbox.TreeOptions, archive io.Reader) (sandbox.TreeStats, error) {
	if err := s.check("WriteTree"); err != nil {
		return sandbox.TreeStats{}, err
	}
	stats, err := tree.Unpack(ctx, s.Host(path), tree.Options{}, archive)
	return sandbox.TreeStats(stats), err
}
