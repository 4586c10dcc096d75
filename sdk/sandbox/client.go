package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// NewClient returns the sandbox that token selects at the far end of conn. The caller closes conn.
//
// Beyond the contract: Exec returns when the command has ended, even when a Read of IO.Stdin has not. Where the reader has a
// SetReadDeadline that works (a network connection, a pipe), it is used to end that Read, and cleared afterwards. Where it has
// none (a terminal in blocking mode), one goroutine stays in that Read until it returns, drops what it brought, and reads no
// more. Signals and sizes travel behind the input sent before them; only cancelling overtakes.
//
// WriteFile and the writers of an Exec are called in the caller's time: a content, or a writer, that blocks holds the call.
func NewClient(conn grpc.ClientConnInterface, token []byte) Sandbox {
	return &client{rpc: pluginv1.NewSandboxClient(conn), token: bytes.Clone(token)}
}

type client struct {
	rpc   pluginv1.SandboxClient
	token []byte
}

func (c *client) auth(ctx context.Context) context.Context { return authorised(ctx, c.token) }

func (c *client) Stat(ctx context.Context, path string, follow bool) (FileInfo, error) {
	if err := CheckPath(path); err != nil {
		return FileInfo{}, err
	}
	resp, err := c.rpc.Stat(c.auth(ctx), &pluginv1.StatRequest{Path: path, Follow: follow})
	if err != nil {
		return FileInfo{}, errdef.FromStatus(err)
	}
	return fileFromProto(resp.GetInfo())
}

func (c *client) ListDir(ctx context.Context, path string) ([]FileInfo, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.ListDir(c.auth(ctx), &pluginv1.ListDirRequest{Path: path})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	var entries []FileInfo
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, errdef.FromStatus(err)
		}
		if len(entries)+len(resp.GetEntries()) > MaxDirEntries {
			return nil, errdef.New(errdef.ErrExhausted, "%s has more than %d entries", path, MaxDirEntries)
		}
		for _, p := range resp.GetEntries() {
			f, err := fileFromProto(p)
			if err == nil && f.Name == "/" {
				err = broken("an entry named %q", f.Name)
			}
			if err != nil {
				return nil, err
			}
			entries = append(entries, f)
		}
	}
}

func (c *client) MakeDir(ctx context.Context, path string, opt MakeDirOptions) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	req := &pluginv1.MakeDirRequest{Path: path, Mode: ModeToUnix(opt.Mode), User: opt.User, Parents: opt.Parents}
	_, err := c.rpc.MakeDir(c.auth(ctx), req)
	return errdef.FromStatus(err)
}

func (c *client) Remove(ctx context.Context, path string, recursive bool) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	_, err := c.rpc.Remove(c.auth(ctx), &pluginv1.RemoveRequest{Path: path, Recursive: recursive})
	return errdef.FromStatus(err)
}

func (c *client) Rename(ctx context.Context, from, to string) error {
	for _, p := range []string{from, to} {
		if err := CheckPath(p); err != nil {
			return err
		}
	}
	_, err := c.rpc.Rename(c.auth(ctx), &pluginv1.RenameRequest{From: from, To: to})
	return errdef.FromStatus(err)
}

func (c *client) Info(ctx context.Context) (Info, error) {
	resp, err := c.rpc.GetSandboxInfo(c.auth(ctx), &pluginv1.GetSandboxInfoRequest{})
	if err != nil {
		return Info{}, errdef.FromStatus(err)
	}
	return infoFromProto(resp)
}

func (c *client) Metrics(ctx context.Context) (Metrics, error) {
	resp, err := c.rpc.GetSandboxMetrics(c.auth(ctx), &pluginv1.GetSandboxMetricsRequest{})
	if err != nil {
		return Metrics{}, errdef.FromStatus(err)
	}
	return metricsFromProto(resp)
}

func (c *client) Freeze(ctx context.Context) error {
	_, err := c.rpc.Freeze(c.auth(ctx), &pluginv1.FreezeRequest{})
	return errdef.FromStatus(err)
}

func (c *client) Thaw(ctx context.Context) error {
	_, err := c.rpc.Thaw(c.auth(ctx), &pluginv1.ThawRequest{})
	return errdef.FromStatus(err)
}

func (c *client) WaitMain(ctx context.Context) (Exit, error) {
	resp, err := c.rpc.WaitMain(c.auth(ctx), &pluginv1.WaitMainRequest{})
	if err != nil {
		return Exit{}, errdef.FromStatus(err)
	}
	return exitFromProto(resp.GetExit())
}

func (c *client) MainOutput(ctx context.Context, follow bool, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.ReadMainOutput(c.auth(ctx), &pluginv1.ReadMainOutputRequest{Follow: follow})
	if err != nil {
		return errdef.FromStatus(err)
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errdef.FromStatus(err)
		}
		switch m := resp.GetMessage().(type) {
		case *pluginv1.ReadMainOutputResponse_Stdout:
			err = writeChunk(stdout, m.Stdout)
		case *pluginv1.ReadMainOutputResponse_Stderr:
			err = writeChunk(stderr, m.Stderr)
		default:
			err = broken("a message that is no output")
		}
		if err != nil {
			return err
		}
	}
}

// writeChunk hands a received chunk to the caller's writer, which may be nil.
func writeChunk(w io.Writer, b []byte) error {
	if err := checkChunk(b); err != nil {
		return err
	}
	if w == nil {
		return nil
	}
	_, err := w.Write(b)
	return err
}

func (c *client) Shutdown(ctx context.Context, grace time.Duration) (*Exit, error) {
	if grace < 0 {
		return nil, errdef.New(errdef.ErrInvalid, "grace of %s is negative", grace)
	}
	resp, err := c.rpc.Shutdown(c.auth(ctx), &pluginv1.ShutdownRequest{Grace: durationToProto(grace)})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	return optionalExit(resp.GetMainExit())
}
