package sandbox

import (
	"context"
	"errors"
	"io"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// ReadTree demands the counts at the end: without them the archive broke off.
func (c *client) ReadTree(ctx context.Context, path string, w io.Writer) (TreeStats, error) {
	if err := CheckPath(path); err != nil {
		return TreeStats{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.ReadTree(c.auth(ctx), &pluginv1.ReadTreeRequest{Path: path})
	if err != nil {
		return TreeStats{}, errdef.FromStatus(err)
	}
	var stats *pluginv1.TreeStats
	for {
		resp, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && stats == nil:
			return TreeStats{}, broken("an archive without an end")
		case errors.Is(err, io.EOF):
			return treeStatsFromProto(stats), nil
		case err != nil:
			return TreeStats{}, errdef.FromStatus(err)
		case stats != nil:
			return TreeStats{}, broken("the archive goes on after its end")
		}
		if stats = resp.GetStats(); stats != nil {
			continue
		}
		if err := writeChunk(w, resp.GetChunk()); err != nil {
			return TreeStats{}, err
		}
	}
}

// WriteTree sends a small archive in one message.
func (c *client) WriteTree(ctx context.Context, path string, opt TreeOptions, archive io.Reader) (TreeStats, error) {
	if err := CheckPath(path); err != nil {
		return TreeStats{}, err
	}
	// Cancelling on the way out is what tells the far end of an archive that broke off.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.WriteTree(c.auth(ctx))
	if err != nil {
		return TreeStats{}, errdef.FromStatus(err)
	}
	header := &pluginv1.WriteTreeHeader{Path: path, User: opt.User}
	if _, err := sendContent(archive, func(chunk []byte, last bool) error {
		defer func() { header = nil }()
		return stream.Send(&pluginv1.WriteTreeRequest{Header: header, Chunk: chunk, Last: last})
	}); err != nil {
		return TreeStats{}, err
	}
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return TreeStats{}, errdef.FromStatus(err)
	}
	return treeStatsFromProto(resp.GetStats()), nil
}

func treeStatsFromProto(s *pluginv1.TreeStats) TreeStats {
	return TreeStats{Files: s.GetFiles(), Bytes: s.GetBytes(), Skipped: s.GetSkipped()}
}
