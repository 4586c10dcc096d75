package mock

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/accounts"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// kindOf sorts Linux errors into those of the contract.
func kindOf(err error) error {
	for _, k := range []struct {
		kind error
		errs []error
	}{
		{errdef.ErrNotFound, []error{syscall.ENOENT}},
		{errdef.ErrPermission, []error{syscall.EACCES, syscall.EPERM}},
		{errdef.ErrExists, []error{syscall.EEXIST}},
		{errdef.ErrState, []error{syscall.ENOTEMPTY, syscall.EBUSY}},
		{errdef.ErrExhausted, []error{syscall.ENOSPC, syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE}},
		{errdef.ErrInvalid, []error{
			syscall.ENOTDIR, syscall.EISDIR, syscall.EINVAL, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.ENOEXEC, syscall.ENXIO,
		}},
	} {
		for _, e := range k.errs {
			if errors.Is(err, e) {
				return k.kind
			}
		}
	}
	return errdef.ErrAborted
}

// convert turns an error of the file system into one of the contract.
func convert(err error) error {
	if err == nil {
		return nil
	}
	return errdef.New(kindOf(err), "%w", err)
}

// begin checks a call about files and admits it.
func (s *Sandbox) begin(ctx context.Context, paths ...string) error {
	for _, p := range paths {
		if err := sandbox.CheckPath(p); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.enter()
}

// Files are handled as root and belong to the ordinary user or to whom the call names, as the guest agent does it.

// ReadFile implements sandbox.Sandbox.
func (s *Sandbox) ReadFile(ctx context.Context, name string, r sandbox.Range) (io.ReadCloser, error) {
	if err := s.begin(ctx, name); err != nil {
		return nil, err
	}
	defer s.running.Done()
	info, err := s.machine.FS.Stat(root, name, true)
	if err != nil {
		return nil, convert(err)
	}
	if !info.Mode.IsRegular() {
		return nil, errdef.New(errdef.ErrInvalid, "%s is not a regular file", name)
	}
	f, err := s.machine.FS.Open(root, name, os.O_RDONLY, 0)
	if err != nil {
		return nil, convert(err)
	}
	if _, err := f.Seek(int64(min(r.Offset, 1<<62)), io.SeekStart); err != nil {
		f.Close()
		return nil, convert(err)
	}
	if r.Limit == 0 {
		return f, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, int64(min(r.Limit, 1<<62))), f}, nil
}

// WriteFile implements sandbox.Sandbox.
func (s *Sandbox) WriteFile(ctx context.Context, name string, opt sandbox.WriteOptions, content io.Reader) (int64, error) {
	if err := s.begin(ctx, name); err != nil {
		return 0, err
	}
	defer s.running.Done()
	owner, err := s.account(opt.User)
	if err != nil {
		return 0, err
	}
	if opt.Parents {
		if err := s.machine.FS.MkdirAll(asRoot(owner), path.Dir(name), 0o755); err != nil {
			return 0, convert(err)
		}
	}
	r, err := s.machine.FS.Replacement(owner.User())
	if err != nil {
		return 0, convert(err)
	}
	defer r.Close()
	n, err := io.Copy(r, readerOf(ctx, content))
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return 0, errdef.New(errdef.ErrExhausted, "write %s: %w", name, syscall.ENOSPC)
		}
		return 0, err
	}
	return n, convert(r.Commit(root, name, opt.Mode))
}

// account finds the user that a call names.
func (s *Sandbox) account(spec string) (accounts.Account, error) {
	account, err := accounts.Read(s.machine.FS).Lookup(spec, ordinary)
	if err != nil {
		return account, errdef.New(errdef.ErrInvalid, "%w", err)
	}
	return account, nil
}

// asRoot passes every check; what it makes belongs to the account.
func asRoot(account accounts.Account) memfs.User {
	return memfs.User{UID: account.UID, GID: account.GID, Root: true}
}

// readerOf stops reading when ctx ends.
func readerOf(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(b)
	})
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func fileInfo(i memfs.Info) sandbox.FileInfo {
	return sandbox.FileInfo{
		Name: i.Name, Size: uint64(i.Size), Mode: i.Mode, ModTime: i.ModTime, UID: i.UID, GID: i.GID, LinkTarget: i.Target,
	}
}

// Stat implements sandbox.Sandbox.
func (s *Sandbox) Stat(ctx context.Context, name string, follow bool) (sandbox.FileInfo, error) {
	if err := s.begin(ctx, name); err != nil {
		return sandbox.FileInfo{}, err
	}
	defer s.running.Done()
	info, err := s.machine.FS.Stat(root, name, follow)
	return fileInfo(info), convert(err)
}

// ListDir implements sandbox.Sandbox.
func (s *Sandbox) ListDir(ctx context.Context, name string) ([]sandbox.FileInfo, error) {
	if err := s.begin(ctx, name); err != nil {
		return nil, err
	}
	defer s.running.Done()
	infos, err := s.machine.FS.ReadDir(root, name)
	if err != nil {
		return nil, convert(err)
	}
	var entries []sandbox.FileInfo
	for _, i := range infos {
		entries = append(entries, fileInfo(i))
	}
	return entries, nil
}

// MakeDir implements sandbox.Sandbox.
func (s *Sandbox) MakeDir(ctx context.Context, name string, opt sandbox.MakeDirOptions) error {
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	defer s.running.Done()
	owner, err := s.account(opt.User)
	if err != nil {
		return err
	}
	mode := opt.Mode
	if mode == 0 {
		mode = 0o755
	}
	if opt.Parents {
		if err := s.machine.FS.MkdirAll(asRoot(owner), path.Dir(path.Clean(name)), 0o755); err != nil {
			return convert(err)
		}
	}
	err = s.machine.FS.Mkdir(asRoot(owner), name, mode&fs.ModePerm)
	if errors.Is(err, syscall.EEXIST) && opt.Parents {
		if info, statErr := s.machine.FS.Stat(root, name, true); statErr == nil && info.Mode.IsDir() {
			return nil
		}
	}
	return convert(err)
}

// Remove implements sandbox.Sandbox.
func (s *Sandbox) Remove(ctx context.Context, name string, recursive bool) error {
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	defer s.running.Done()
	if recursive {
		return convert(s.machine.FS.RemoveAll(root, name))
	}
	return convert(s.machine.FS.Remove(root, name))
}

// Rename implements sandbox.Sandbox.
func (s *Sandbox) Rename(ctx context.Context, from, to string) error {
	if err := s.begin(ctx, from, to); err != nil {
		return err
	}
	defer s.running.Done()
	return convert(s.machine.FS.Rename(root, from, to))
}
