package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Exists tells whether a path exists. A symbolic link exists whether or not its target does.
func Exists(ctx context.Context, s Sandbox, path string) (bool, error) {
	_, err := s.Stat(ctx, path, false)
	if errors.Is(err, errdef.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ReadBytes reads a whole file of at most limit bytes. A larger one is errdef.ErrExhausted.
func ReadBytes(ctx context.Context, s Sandbox, path string, limit int64) ([]byte, error) {
	f, err := s.ReadFile(ctx, path, Range{})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, errdef.New(errdef.ErrExhausted, "%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

// WriteBytes replaces a file with content.
func WriteBytes(ctx context.Context, s Sandbox, path string, opt WriteOptions, content []byte) error {
	_, err := s.WriteFile(ctx, path, opt, bytes.NewReader(content))
	return err
}

// Output runs a command without input and returns what it wrote. It keeps all of it: bound the command, or use Exec, where the
// output may be large.
func Output(ctx context.Context, s Sandbox, cmd Command) (stdout, stderr []byte, exit Exit, err error) {
	var out, errOut bytes.Buffer
	exit, err = s.Exec(ctx, cmd, IO{Stdout: &out, Stderr: &errOut})
	return out.Bytes(), errOut.Bytes(), exit, err
}
