package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

const (
	soakDisk   = "soak"
	soakBytes  = 64 << 20
	chunk      = 1 << 20
	sampleGap  = 10 * time.Second
	pauseGap   = time.Second
	guestProbe = "/tmp/probe"
)

// work counts what a piece has done.
type work struct{ Stress, Vsock, Block, Pauses atomic.Int64 }

// soak keeps a VM busy for a while: processor and memory by stress-ng, vsock by files that go there and back, a disk by blocks that
// are read again, and a pause every second. Everything that moves is compared, and the monitor is measured all along.
func soak(ctx context.Context, l *livevm.Launcher, o options) error {
	record, err := loadRecord(o.state)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, make([]byte, soakBytes), 0o600); err != nil {
		return err
	}
	r := o.request()
	r.Spec.Image, r.Disks = o.disk, []vmm.Disk{{ID: soakDisk, Path: data}}
	vm, err := l.Boot(ctx, r)
	if err != nil {
		return err
	}
	piece, err := soakPiece(ctx, vm, o)
	if err := errors.Join(err, vm.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	record.Pieces = append(record.Pieces, piece)
	if err := record.save(o.state); err != nil {
		return err
	}
	return record.judge(monitorSlack)
}

// soakPiece works until the time is up, and returns what was measured.
func soakPiece(ctx context.Context, vm *livevm.VM, o options) (piece, error) {
	var done work
	var p piece
	end := time.Now().Add(o.length)
	group, ctx := errgroup.WithContext(ctx)
	repeat := func(count *atomic.Int64, fn func() error) {
		group.Go(func() error {
			for time.Now().Before(end) && ctx.Err() == nil {
				if err := fn(); err != nil {
					return err
				}
				count.Add(1)
			}
			return nil
		})
	}
	repeat(&done.Stress, func() error {
		_, err := inGuest(ctx, vm, "stress-ng --quiet --cpu 1 --vm 1 --vm-bytes 32m --temp-path /tmp --timeout 10s")
		return err
	})
	repeat(&done.Vsock, func() error { return thereAndBack(ctx, vm) })
	repeat(&done.Block, func() error { return blocks(ctx, vm, int(done.Block.Load())%(soakBytes/chunk/2)) })
	repeat(&done.Pauses, func() error { return pause(ctx, vm.Monitor) })
	group.Go(func() (err error) {
		p.Samples, err = sample(ctx, vm, o.memory<<20, end)
		return err
	})
	err := group.Wait()
	p.Seconds = o.length.Seconds()
	p.Done = map[string]int64{
		"stress": done.Stress.Load(), "vsock_mib": 2 * done.Vsock.Load(), "block_mib": 4 * done.Block.Load(), "pauses": done.Pauses.Load(),
	}
	return p, err
}

// thereAndBack sends a file of random bytes to the guest over vsock, and reads it again.
func thereAndBack(ctx context.Context, vm *livevm.VM) error {
	sent := make([]byte, chunk)
	_, _ = rand.Read(sent)
	if _, err := vm.WriteFile(ctx, guestProbe, sandbox.WriteOptions{Mode: fs.FileMode(0o600)}, bytes.NewReader(sent)); err != nil {
		return err
	}
	f, err := vm.ReadFile(ctx, guestProbe, sandbox.Range{})
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err == nil && !bytes.Equal(got, sent) {
		err = errors.New("a file came back from the guest with other bytes")
	}
	return err
}

// blocks writes two random MiB to the disk, past the guest's page cache, and compares what it reads.
func blocks(ctx context.Context, vm *livevm.VM, at int) error {
	_, err := inGuest(ctx, vm, fmt.Sprintf(`set -e
for d in /sys/block/vd*; do [ "$(cat $d/serial)" = %s ] && dev=/dev/${d##*/}; done
head -c 2M /dev/urandom > /tmp/block
dd if=/tmp/block of=$dev bs=1M seek=%d oflag=direct conv=fsync,notrunc status=none
dd if=$dev of=/tmp/block.again bs=1M skip=%d count=2 iflag=direct status=none
cmp /tmp/block /tmp/block.again`, soakDisk, 2*at, 2*at))
	return err
}

func pause(ctx context.Context, m vmm.VMM) error {
	select {
	case <-time.After(pauseGap):
	case <-ctx.Done():
		return nil
	}
	if err := m.Pause(ctx); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if err := m.Resume(ctx); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}

func sample(ctx context.Context, vm *livevm.VM, guest uint64, end time.Time) (out []measurement, err error) {
	for time.Now().Before(end) {
		select {
		case <-time.After(sampleGap):
		case <-ctx.Done():
			return out, nil
		}
		f, err := livevm.MeasureFootprint(vm.PID, guest)
		if err != nil {
			return out, err
		}
		counters, err := vm.Monitor.Metrics(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, measurement{Footprint: f, Goroutines: int(counters["runtime.goroutines"])})
	}
	return out, nil
}

// loadRecord reads a soak's state, an empty one where there is none yet.
func loadRecord(path string) (*record, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &record{}, nil
	}
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s is no soak's state: %w", path, err)
	}
	return r, nil
}
