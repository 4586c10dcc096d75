package sandbox

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

var chunks = sync.Pool{New: func() any { b := make([]byte, ChunkBytes); return &b }}

func (s *server) ReadFile(req *pluginv1.ReadFileRequest, stream grpc.ServerStreamingServer[pluginv1.ReadFileResponse]) error {
	return errdef.ToStatus(s.readFile(req, stream))
}

func (s *server) readFile(req *pluginv1.ReadFileRequest, stream grpc.ServerStreamingServer[pluginv1.ReadFileResponse]) error {
	ctx := stream.Context()
	if err := CheckPath(req.GetPath()); err != nil {
		return err
	}
	f, err := s.sandbox.ReadFile(ctx, req.GetPath(), Range{Offset: req.GetOffset(), Limit: req.GetLimit()})
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := s.sandbox.Stat(ctx, req.GetPath(), true)
	if err != nil {
		return err
	}
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	resp := &pluginv1.ReadFileResponse{Info: fileToProto(info)}
	for {
		n, err := fill(f, *buf)
		if n > 0 || resp.Info != nil {
			resp.Chunk = (*buf)[:n]
			if err := stream.Send(resp); err != nil {
				return err
			}
			resp.Info = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until b is full. Unlike io.ReadFull it leaves the reader's error as it is, so that a file that broke off is not
// taken for one that ended.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

func (s *server) WriteFile(stream grpc.ClientStreamingServer[pluginv1.WriteFileRequest, pluginv1.WriteFileResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h := first.GetHeader()
	if h == nil {
		return errdef.ToStatus(broken("the first message of WriteFile has no header"))
	}
	if err := CheckPath(h.GetPath()); err != nil {
		return errdef.ToStatus(err)
	}
	if err := checkChunk(first.GetChunk()); err != nil {
		return errdef.ToStatus(err)
	}
	content := &contentReader{rest: first.GetChunk(), last: first.GetLast(), recv: func() ([]byte, bool, bool, error) {
		req, err := stream.Recv()
		return req.GetChunk(), req.GetLast(), req.GetHeader() != nil, err
	}}
	opt := WriteOptions{Mode: ModeFromUnix(h.GetMode()), User: h.GetUser(), Parents: h.GetParents()}
	n, err := s.sandbox.WriteFile(stream.Context(), h.GetPath(), opt, content)
	if err != nil {
		return errdef.ToStatus(err)
	}
	return stream.SendAndClose(&pluginv1.WriteFileResponse{Written: uint64(max(n, 0))})
}

// contentReader reads the chunks of a WriteFile or a WriteTree. It ends with EOF only after the chunk that is marked as the last.
type contentReader struct {
	recv func() (chunk []byte, last, header bool, err error)
	rest []byte
	last bool
	err  error
}

func (c *contentReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err == nil {
			c.err = c.next()
		}
		if c.err != nil {
			return 0, c.err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *contentReader) next() error {
	if c.last {
		return io.EOF
	}
	chunk, last, header, err := c.recv()
	if errors.Is(err, io.EOF) {
		return errdef.New(errdef.ErrAborted, "the content ended without its last chunk")
	}
	if err != nil {
		return errdef.FromStatus(err)
	}
	if header {
		return broken("a second header")
	}
	if err := checkChunk(chunk); err != nil {
		return err
	}
	c.rest, c.last = chunk, last
	return nil
}

// batchEntries is the number of directory entries in one message: at most some 2 MiB, were all names and links as long as
// they may be.
const batchEntries = 256

func (s *server) ListDir(req *pluginv1.ListDirRequest, stream grpc.ServerStreamingServer[pluginv1.ListDirResponse]) error {
	return errdef.ToStatus(s.listDir(stream.Context(), req.GetPath(), stream))
}

func (s *server) listDir(ctx context.Context, path string, stream grpc.ServerStreamingServer[pluginv1.ListDirResponse]) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	entries, err := s.sandbox.ListDir(ctx, path)
	if err != nil {
		return err
	}
	for len(entries) > 0 {
		n := min(len(entries), batchEntries)
		resp := &pluginv1.ListDirResponse{}
		for _, e := range entries[:n] {
			resp.Entries = append(resp.Entries, fileToProto(e))
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}
