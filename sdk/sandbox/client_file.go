package sandbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// ReadFile waits for the first chunk, so that a missing file is found here and not at the first Read. The context governs the
// reads too.
func (c *client) ReadFile(ctx context.Context, path string, r Range) (io.ReadCloser, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.rpc.ReadFile(c.auth(ctx), &pluginv1.ReadFileRequest{Path: path, Offset: r.Offset, Limit: r.Limit})
	if err != nil {
		cancel()
		return nil, errdef.FromStatus(err)
	}
	f := &fileReader{stream: stream, cancel: cancel, limit: r.Limit}
	if err := f.next(); err != nil && !errors.Is(err, io.EOF) {
		cancel()
		return nil, err
	}
	return f, nil
}

// fileReader reads the chunks of a file. It is read from one goroutine; Close may come from any.
type fileReader struct {
	stream grpc.ServerStreamingClient[pluginv1.ReadFileResponse]
	cancel context.CancelFunc
	closed atomic.Bool
	limit  uint64 // of the range; 0 means none
	got    uint64
	rest   []byte
	err    error
}

func (f *fileReader) Read(p []byte) (int, error) {
	if f.closed.Load() {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(f.rest) == 0 {
		if err := f.next(); err != nil {
			if f.closed.Load() {
				err = fs.ErrClosed
			}
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *fileReader) next() error {
	if f.err != nil {
		return f.err
	}
	resp, err := f.stream.Recv()
	if errors.Is(err, io.EOF) {
		f.err = io.EOF
		return f.err
	}
	if err != nil {
		f.err = errdef.FromStatus(err)
		return f.err
	}
	f.err = checkChunk(resp.GetChunk())
	f.got += uint64(len(resp.GetChunk()))
	if f.limit > 0 && f.got > f.limit {
		f.err = broken("%d bytes of a file, %d were asked for", f.got, f.limit)
	}
	if f.err == nil {
		f.rest = resp.GetChunk()
	}
	return f.err
}

// Close cancels what is left of the call.
func (f *fileReader) Close() error {
	if f.closed.Swap(true) {
		return fs.ErrClosed
	}
	f.cancel()
	return nil
}

// WriteFile sends a small file in one message.
func (c *client) WriteFile(ctx context.Context, path string, opt WriteOptions, content io.Reader) (int64, error) {
	if err := CheckPath(path); err != nil {
		return 0, err
	}
	// Cancelling on the way out is what makes the far end drop a file whose last chunk was not sent.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.WriteFile(c.auth(ctx))
	if err != nil {
		return 0, errdef.FromStatus(err)
	}
	header := &pluginv1.WriteFileHeader{Path: path, Mode: ModeToUnix(opt.Mode), User: opt.User, Parents: opt.Parents}
	sent, err := sendContent(content, func(chunk []byte, last bool) error {
		defer func() { header = nil }()
		return stream.Send(&pluginv1.WriteFileRequest{Header: header, Chunk: chunk, Last: last})
	})
	if err != nil {
		return 0, err
	}
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return 0, errdef.FromStatus(err)
	}
	if resp.GetWritten() != uint64(sent) {
		return 0, broken("%d bytes written of %d sent", resp.GetWritten(), sent)
	}
	return sent, nil
}

// sendContent cuts content into chunks. The first one goes out even when it is empty.
func sendContent(content io.Reader, send func(chunk []byte, last bool) error) (sent int64, err error) {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for last := false; !last; {
		n, err := fill(content, *buf)
		last = errors.Is(err, io.EOF)
		if err != nil && !last {
			return sent, errdef.New(errdef.ErrAborted, "read the content to write: %w", err)
		}
		err = send((*buf)[:n], last)
		if errors.Is(err, io.EOF) {
			return sent, nil // refused; CloseAndRecv says why
		}
		if err != nil {
			return sent, errdef.FromStatus(err)
		}
		sent += int64(n)
	}
	return sent, nil
}
