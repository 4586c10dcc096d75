//go:build linux

package shares

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/jail"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/lanes"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/sharefs"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// Options are what the plugin is configured with.
type Options struct {
	// RuntimeDir is where the link's socket goes.
	RuntimeDir string
	// Confine closes the jail once everything is open; nil means jail.Process.
	Confine func(jail.Grants) error
}

// Share serves one attachment.
type Share struct {
	opt Options

	mu     sync.Mutex
	fs     *sharefs.FS // set by Attach, for good
	closed bool

	ctx    context.Context // of all that the attachment does
	cancel context.CancelFunc
	ends   sync.WaitGroup
}

var _ share.Share = (*Share)(nil)

// New returns a share without a guest.
func New() *Share {
	s := &Share{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Configure takes what the host says; to be called once, before Attach.
func (s *Share) Configure(opt Options) { s.opt = opt }

// Attach implements share.Share.
func (s *Share) Attach(_ context.Context, a share.Attachment) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fs != nil || s.closed {
		return "", errdef.New(errdef.ErrState, "this share has had its guest")
	}
	mounts, err := openMounts(a.Mounts)
	if err != nil {
		return "", err
	}
	descriptors, err := raiseLimit()
	if err != nil {
		closeMounts(mounts)
		return "", err
	}
	fs, err := sharefs.New(mounts, limits(descriptors))
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.opt.RuntimeDir, "link.sock")
	l, err := link.Listen(path, link.Terms{Purpose: link.Requests, MaxLanes: 1 + max(a.RequestQueues, 1)})
	if err != nil {
		fs.Close()
		return "", err
	}
	unix.Umask(0) // the guest's kernel has applied the one of the process that asks
	confine := s.opt.Confine
	if confine == nil {
		confine = jail.Process
	}
	if err := confine(grants(s.opt.RuntimeDir, mounts, descriptors)); err != nil {
		_ = l.Close()
		fs.Close()
		return "", errdef.New(errdef.ErrUnavailable, "close the jail: %w", err)
	}
	s.fs = fs
	s.ends.Go(func() {
		defer l.Close()
		s.serve(l)
	})
	return path, nil
}

// serve gives the link to devices that ask for it, one after another, until the attachment ends.
func (s *Share) serve(l *link.Listener) {
	for {
		up, err := l.Accept(s.ctx)
		switch {
		case s.ctx.Err() != nil:
			if up != nil {
				up.Close()
			}
			return
		case err != nil:
			slog.Warn("a device did not get its link", "error", err)
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		slog.Debug("link is up", "lanes", up.Lanes())
		err = lanes.Serve(s.ctx, up, s.fs)
		up.Close()
		if s.ctx.Err() == nil && !errors.Is(err, link.ErrPeerGone) {
			slog.Warn("link is down", "error", err)
		}
	}
}

// acceptPause keeps a device that asks wrongly again and again from taking a processor.
const acceptPause = 50 * time.Millisecond

// SaveHandles implements share.Share.
func (s *Share) SaveHandles(context.Context) ([]byte, error) {
	return nil, errdef.New(errdef.ErrUnsupported, "this share cannot save its handles yet")
}

// LoadHandles implements share.Share.
func (s *Share) LoadHandles(context.Context, []byte) (int, error) {
	return 0, errdef.New(errdef.ErrUnsupported, "this share cannot load handles yet")
}

// Stats implements share.Share.
func (s *Share) Stats(context.Context) (map[string]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fs == nil {
		return nil, errdef.New(errdef.ErrState, "no guest is attached")
	}
	return s.fs.Stats(), nil
}

// Drain ends everything.
func (s *Share) Drain(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.cancel()
	s.ends.Wait()
	if s.fs != nil {
		s.fs.Close()
	}
	return nil
}
