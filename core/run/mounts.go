package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/core/overlay"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

const (
	sharePlugin = "virtiofs"
	// shareDevice is the ID of a VM's file system device, and the tag by which the guest mounts it.
	shareDevice = "shares"
)

// lent is what a VM is lent of the host's files. The zero value is nothing.
type lent struct {
	links  []vmm.Link
	shares boot.Shares
	end    func(ctx context.Context) error
}

func (l lent) close(ctx context.Context) error {
	if l.end == nil {
		return nil
	}
	return l.end(ctx)
}

// checkMounts finds what mount blocks ask for and cannot get.
func (r *Run) checkMounts(s *plan.Sandbox, b backend) error {
	able, err := r.cfg.Host.Capabilities(r.ctx, b.kind, b.name)
	switch {
	case err != nil:
		return err
	case !slices.Contains(able, vmm.CapFS):
		return errdef.New(errdef.ErrUnsupported, "sandbox %s: mounts are not supported on backend %s", s.Name, b.name).
			WithRemedy("take the mount blocks out, or choose another backend")
	}
	if err := r.cfg.Host.Find(r.ctx, base.KindShare, sharePlugin); err != nil {
		return fmt.Errorf("sandbox %s: mounts: %w", s.Name, err)
	}
	return checkMountPoints(s)
}

// checkMountPoints looks at the mounts themselves, whoever wrote them.
func checkMountPoints(s *plan.Sandbox) error {
	seen := map[string]bool{}
	for _, m := range s.Mounts {
		target := path.Clean(m.Target)
		bad := func(format string, args ...any) error {
			return errdef.New(errdef.ErrInvalid, "sandbox %s: mount %q: %s", s.Name, m.Target, fmt.Sprintf(format, args...))
		}
		switch {
		case !path.IsAbs(m.Target) || strings.ContainsRune(m.Target, 0):
			return bad("the path in the guest must be absolute")
		case target == "/":
			return bad("a mount cannot replace the root file system")
		case seen[target]:
			return bad("something is mounted there already")
		}
		seen[target] = true
		if _, err := modeOf(m.Mode); err != nil {
			return bad("%v", err)
		}
		info, err := os.Stat(m.Source)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return errdef.New(errdef.ErrNotFound, "sandbox %s: mount %q: %s does not exist on the host", s.Name, m.Target, m.Source).
				WithRemedy("make it, or name another source")
		case err != nil:
			return bad("%v", err)
		case !info.IsDir() && !info.Mode().IsRegular():
			return bad("%s is neither a directory nor a regular file", m.Source)
		case !info.IsDir() && m.Mode == modeOverlay:
			return bad("%s is a file; an overlay needs a directory", m.Source)
		case !info.IsDir() && strings.HasSuffix(m.Target, "/"):
			return bad("%s is a file, and the path in the guest names a directory", m.Source)
		}
	}
	return nil
}

// Modes of a mount, as they are written.
const (
	modeReadOnly  = "ro"
	modeReadWrite = "rw"
	modeOverlay   = "overlay"
)

func modeOf(mode string) (share.Mode, error) {
	switch mode {
	case modeReadOnly, "":
		return share.ReadOnly, nil
	case modeReadWrite:
		return share.ReadWrite, nil
	case modeOverlay:
		return share.Overlay, nil
	}
	return 0, fmt.Errorf("mode %q is none of %s, %s and %s", mode, modeReadOnly, modeReadWrite, modeOverlay)
}

// lend starts the share plugin of a sandbox, one process for each, and attaches the guest that is to come.
func (r *Run) lend(ctx context.Context, s *plan.Sandbox) (lent, error) {
	if len(s.Mounts) == 0 {
		return lent{}, nil
	}
	if err := checkMountPoints(s); err != nil {
		return lent{}, &ConfigError{Err: err}
	}
	attachment, shares, err := shareAttachment(s)
	if err != nil {
		return lent{}, err
	}
	release, err := r.keepWrites(s, attachment.Mounts)
	if err != nil {
		return lent{}, fmt.Errorf("sandbox %s: %w", s.Name, err)
	}
	plugin, err := r.crew.own(r.ctx, ctx, pluginhost.Request{Kind: base.KindShare, Name: sharePlugin, Instance: s.Name})
	if err != nil {
		release()
		return lent{}, err
	}
	socket, err := plugin.Share().Attach(ctx, attachment)
	if err != nil {
		r.cleanUp(plugin.Close)
		release()
		return lent{}, fmt.Errorf("sandbox %s: mounts: %w", s.Name, sorted(err))
	}
	return lent{
		links:  []vmm.Link{{Kind: vmm.LinkFS, ID: shareDevice, SocketPath: socket, Queues: 1}},
		shares: shares,
		end: func(ctx context.Context) error {
			defer release()
			return plugin.Close(ctx)
		},
	}, nil
}

// keepWrites gives mounts of mode overlay their upper directories. A named sandbox finds its own again; each sandbox of a run has
// new ones.
func (r *Run) keepWrites(s *plan.Sandbox, mounts []share.Mount) (release func(), err error) {
	layered := func(m share.Mount) bool { return m.Mode == share.Overlay }
	if !slices.ContainsFunc(mounts, layered) {
		return func() {}, nil
	}
	dir, box := r.cfg.Overlays, s.Name
	var temporary string
	switch {
	case dir != "":
	case r.dir != nil:
		dir, box = filepath.Join(r.dir.Path(), overlay.DirName), fmt.Sprintf("%s-%d", s.Name, r.builds.Add(1))
	default:
		if temporary, err = os.MkdirTemp("", "voidbox-overlay-"); err != nil {
			return nil, err
		}
		dir = temporary
	}
	held, err := overlay.Hold(dir)
	if err != nil {
		return nil, err
	}
	release = func() {
		held()
		if temporary != "" {
			_ = overlay.Discard(temporary)
			_ = os.RemoveAll(temporary)
		}
	}
	for i := range mounts {
		if !layered(mounts[i]) {
			continue
		}
		mounts[i].UpperPath, err = overlay.Prepare(dir, i, overlay.Mount{Sandbox: box, Target: path.Clean(s.Mounts[i].Target), Source: mounts[i].HostPath})
		if err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// shareAttachment is what the plugin serves, and where the guest mounts it: the mount's number is the name of either.
func shareAttachment(s *plan.Sandbox) (share.Attachment, boot.Shares, error) {
	a, g := share.Attachment{}, boot.Shares{Tag: shareDevice}
	for i, m := range s.Mounts {
		mode, err := modeOf(m.Mode)
		if err != nil {
			return a, g, err
		}
		tag := strconv.Itoa(i)
		a.Mounts = append(a.Mounts, share.Mount{
			HostPath: m.Source, Tag: tag, Mode: mode, Cache: share.Cache(m.Cache),
			IDMap: &share.IDMap{
				HostUID: uint32(os.Getuid()), HostGID: uint32(os.Getgid()), GuestUID: boot.DefaultUser.UID, GuestGID: boot.DefaultUser.GID,
			},
		})
		g.Mounts = append(g.Mounts, boot.Share{Name: tag, Target: path.Clean(m.Target), ReadOnly: mode == share.ReadOnly})
	}
	return a, g, nil
}
