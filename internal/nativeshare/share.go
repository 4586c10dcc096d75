//go:build linux

// Package nativeshare starts the share plugin as a run does, a process of its own in its jail, and mounts what it shares on this
// host by way of fusebridge: the host's kernel is the guest. For tests and soaks that want the real server at native speed. It
// needs the right to mount.
package nativeshare

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/fusebridge"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// Share is a plugin and its mount.
type Share struct {
	PID    int // of the plugin
	dir    string
	host   *pluginhost.Host
	plugin *pluginhost.Instance
	bridge *fusebridge.Bridge
}

// IDs maps the user who calls to the one that commands in a guest run as.
func IDs() *share.IDMap {
	return &share.IDMap{HostUID: uint32(os.Getuid()), HostGID: uint32(os.Getgid()), GuestUID: 1000, GuestGID: 1000}
}

// Mount starts the plugin of the directory bin, and mounts. The caller closes the share.
func Mount(ctx context.Context, bin string, mounts ...share.Mount) (*Share, error) {
	s := &Share{}
	if err := s.start(ctx, bin, mounts); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Share) start(ctx context.Context, bin string, mounts []share.Mount) (err error) {
	if s.dir, err = os.MkdirTemp("", "share-"); err != nil {
		return err
	}
	if s.host, err = pluginhost.New(pluginhost.Options{BuiltinDir: bin}); err != nil {
		return err
	}
	s.plugin, err = s.host.Start(ctx, pluginhost.Request{Kind: base.KindShare, Name: "virtiofs", Instance: "native"})
	if err != nil {
		return err
	}
	s.PID = s.plugin.PID()
	socket, err := s.plugin.Share().Attach(ctx, share.Attachment{Mounts: mounts})
	if err != nil {
		return err
	}
	l, err := link.Dial(ctx, socket, fusebridge.Ask())
	if err != nil {
		return err
	}
	s.bridge, err = fusebridge.Mount(l, s.dir)
	return err
}

// Path is where a mount is, by its tag.
func (s *Share) Path(tag string) string { return filepath.Join(s.dir, tag) }

// Stats are the plugin's counters.
func (s *Share) Stats(ctx context.Context) (map[string]uint64, error) {
	return s.plugin.Share().Stats(ctx)
}

// Close unmounts and ends the plugin.
func (s *Share) Close(ctx context.Context) error {
	var errs []error
	if s.bridge != nil {
		errs = append(errs, s.bridge.Close())
	}
	if s.plugin != nil {
		errs = append(errs, s.plugin.Close(ctx))
	}
	if s.host != nil {
		s.host.Close(ctx)
	}
	if s.dir != "" {
		errs = append(errs, os.Remove(s.dir))
	}
	return errors.Join(errs...)
}
