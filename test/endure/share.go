package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/internal/nativeshare"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/test/endure/filework"
)

// soakShare keeps a share plugin busy for a while, the real one in its jail, with this host's kernel as its guest. The work is done by
// another process, since a page fault on a mapping must not wait for the process that it stops. The plugin is measured all along.
func soakShare(ctx context.Context, o options) error {
	record, err := loadRecord(o.state)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "soak-share-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var mounts []share.Mount
	for tag, mode := range map[string]share.Mode{"rw": share.ReadWrite, "overlay": share.Overlay} {
		m := share.Mount{HostPath: filepath.Join(dir, tag), Tag: tag, Mode: mode, IDMap: nativeshare.IDs(), Cache: share.Cache(o.cache)}
		if mode == share.Overlay {
			m.UpperPath = filepath.Join(dir, "upper")
		}
		if err := errors.Join(os.Mkdir(m.HostPath, 0o755), os.MkdirAll(m.UpperPath+"/", 0o755)); err != nil {
			return err
		}
		mounts = append(mounts, m)
	}
	s, err := nativeshare.Mount(ctx, o.bin, mounts...)
	if err != nil {
		return err
	}
	piece, err := sharePiece(ctx, s, o, s.Path("rw"), s.Path("overlay"))
	if err := errors.Join(err, s.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	record.Pieces = append(record.Pieces, piece)
	if err := record.save(o.state); err != nil {
		return err
	}
	return record.judge(shareSlack)
}

// sharePiece works until the time is up, and returns what was measured.
func sharePiece(ctx context.Context, s *nativeshare.Share, o options, dirs ...string) (p piece, err error) {
	p.Seconds = o.length.Seconds()
	group, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error {
		defer end()
		worker := exec.CommandContext(ctx, "/proc/self/exe", append([]string{workMode, "-for", o.length.String()}, dirs...)...)
		worker.Stderr = os.Stderr
		out, err := worker.Output()
		if err != nil {
			return fmt.Errorf("the work: %w", err)
		}
		return json.Unmarshal(out, &p.Done)
	})
	group.Go(func() (err error) {
		p.Samples, err = sampleShare(ctx, s)
		return err
	})
	if err := group.Wait(); err != nil {
		return p, err
	}
	return p, atRest(context.WithoutCancel(ctx), s)
}

// atRest demands that the plugin holds nothing for files that nobody has open any more. The kernel lets go of them in the background.
func atRest(ctx context.Context, s *nativeshare.Share) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		stats, err := s.Stats(ctx)
		if err != nil {
			return err
		}
		if stats["handles"] == 0 && stats["descriptors.pinned"] == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("at rest the plugin holds %d open files and %d that lost their names", stats["handles"], stats["descriptors.pinned"])
		}
	}
}

// sampleShare measures the plugin until the work ends.
func sampleShare(ctx context.Context, s *nativeshare.Share) (out []measurement, err error) {
	for {
		select {
		case <-time.After(sampleGap):
		case <-ctx.Done():
			return out, nil
		}
		f, err := livevm.MeasureFootprint(s.PID, 0)
		if err != nil {
			return out, err
		}
		stats, err := s.Stats(ctx)
		if ctx.Err() != nil {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, measurement{Footprint: f, Goroutines: int(stats["runtime.goroutines"]), Nodes: int(stats["nodes"])})
	}
}

// workMode is what this program is called with to do the work itself.
const workMode = "share-work"

// workOnShare is the other process.
func workOnShare(ctx context.Context, o options) error {
	done, err := filework.Run(ctx, o.args, time.Now().Add(o.length))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}
