package sandbox

import (
	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func (s *server) ReadTree(req *pluginv1.ReadTreeRequest, stream grpc.ServerStreamingServer[pluginv1.ReadTreeResponse]) error {
	if err := CheckPath(req.GetPath()); err != nil {
		return errdef.ToStatus(err)
	}
	out := newChunker(func(chunk []byte) error { return stream.Send(&pluginv1.ReadTreeResponse{Chunk: chunk}) })
	defer out.release()
	stats, err := s.sandbox.ReadTree(stream.Context(), req.GetPath(), out)
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return errdef.ToStatus(err)
	}
	return stream.Send(&pluginv1.ReadTreeResponse{Stats: treeStatsToProto(stats)})
}

func (s *server) WriteTree(stream grpc.ClientStreamingServer[pluginv1.WriteTreeRequest, pluginv1.WriteTreeResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h := first.GetHeader()
	if h == nil {
		return errdef.ToStatus(broken("the first message of WriteTree has no header"))
	}
	if err := CheckPath(h.GetPath()); err != nil {
		return errdef.ToStatus(err)
	}
	if err := checkChunk(first.GetChunk()); err != nil {
		return errdef.ToStatus(err)
	}
	archive := &contentReader{rest: first.GetChunk(), last: first.GetLast(), recv: func() ([]byte, bool, bool, error) {
		req, err := stream.Recv()
		return req.GetChunk(), req.GetLast(), req.GetHeader() != nil, err
	}}
	stats, err := s.sandbox.WriteTree(stream.Context(), h.GetPath(), TreeOptions{User: h.GetUser()}, archive)
	if err != nil {
		return errdef.ToStatus(err)
	}
	return stream.SendAndClose(&pluginv1.WriteTreeResponse{Stats: treeStatsToProto(stats)})
}

func treeStatsToProto(s TreeStats) *pluginv1.TreeStats {
	return &pluginv1.TreeStats{Files: s.Files, Bytes: s.Bytes, Skipped: s.Skipped}
}

// chunker gathers what is written into chunks of one size. A tar archive comes in pieces of 512 bytes.
type chunker struct {
	send func(chunk []byte) error
	buf  *[]byte
	n    int
}

func newChunker(send func([]byte) error) *chunker {
	return &chunker{send: send, buf: chunks.Get().(*[]byte)}
}

func (c *chunker) release() { chunks.Put(c.buf) }

func (c *chunker) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := copy((*c.buf)[c.n:], p)
		c.n, p, written = c.n+n, p[n:], written+n
		if c.n < len(*c.buf) {
			break
		}
		if err := c.flush(); err != nil {
			return written, err
		}
	}
	return written, nil
}

func (c *chunker) flush() error {
	if c.n == 0 {
		return nil
	}
	n := c.n
	c.n = 0
	return c.send((*c.buf)[:n])
}
