package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	sandboxapi "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

const (
	blockSize  = 256 << 20 // of the disk that fio works on
	dataDisk   = "data"
	blockGoal  = 1.0
	blockFloor = 0.9

	// hardware is how many times the lab's work a machine of silicon does in about the same time.
	hardware = 16
)

// workload is one fio job. It ends after so many MiB, not after some time: a lab whose clock is late does no less work.
type workload struct {
	name, pattern, block string
	depth, mib           int
}

var workloads = []workload{
	{"random read 4 KiB", "randread", "4k", 1, 16},
	{"random read 4 KiB, depth 16", "randread", "4k", 16, 16},
	{"random write 4 KiB", "randwrite", "4k", 1, 16},
	{"random write 4 KiB, depth 16", "randwrite", "4k", 16, 16},
	{"sequential read 1 MiB", "read", "1m", 4, 512},
	{"sequential write 1 MiB", "write", "1m", 4, 512},
}

// measureBlock runs fio in the guest, on the same host file for both sides.
func measureBlock(ctx context.Context, b *bench) ([]benchtable.Row, error) {
	if b.disk == "" {
		return nil, errors.New("-disk is missing: the block area needs a root disk with fio on it")
	}
	dir, err := os.MkdirTemp("", "bench-block-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	// Written, so that neither side meets holes.
	if err := os.WriteFile(data, bytes.Repeat([]byte{0x5a}, blockSize), 0o600); err != nil {
		return nil, err
	}
	disks := []vmm.Disk{{ID: dataDisk, Path: data}}
	err = b.turns(ctx, sandbox.Spec{Image: b.disk}, disks, func(mine bool, box *box, into *record) error {
		for _, w := range workloads {
			did, err := b.fio(ctx, box, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			fmt.Printf("%-5v %-30s %10.1f MB/s, ms a request: mean %.3f, longest %.3f\n",
				sideName(mine), w.name, did.rate, did.mean/1e6, did.longest/1e6)
			into.add(w.name, mine, did.rate)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []benchtable.Row
	for _, w := range workloads {
		row := b.compare(w.name, "block "+w.name, "MB/s", "QEMU's virtio-blk")
		row.Goal, row.Floor = benchtable.AtLeast(blockGoal), benchtable.AtLeast(blockFloor)
		rows = append(rows, row)
	}
	return rows, nil
}

// done is what fio says that it did.
type done struct {
	rate          float64 // MB/s
	mean, longest float64 // ns a request, from its submission to its end
}

// fio runs a workload against the data disk, past the guest's page cache, and returns what it did.
func (b *bench) fio(ctx context.Context, box *box, w workload) (done, error) {
	mib := w.mib
	if !lab.Inside() {
		mib *= hardware
	}
	script := fmt.Sprintf(`set -e
for d in /sys/block/vd*; do [ "$(cat $d/serial)" = %s ] && dev=/dev/${d##*/}; done
exec fio --name=job --filename=$dev --rw=%s --bs=%s --iodepth=%d --ioengine=libaio --direct=1 --size=100%% --io_size=%dm \
  --output-format=json --randseed=7`, dataDisk, w.pattern, w.block, w.depth, mib)
	var out, errs bytes.Buffer
	exit, err := box.Exec(ctx, sandboxapi.Command{Args: []string{"/bin/sh", "-c", script}, User: "root"}, sandboxapi.IO{Stdout: &out, Stderr: &errs})
	if err != nil {
		return done{}, err
	}
	if exit.Code != 0 {
		return done{}, fmt.Errorf("fio: exit %d: %s", exit.Code, errs.String())
	}
	type direction struct {
		BytesPerSecond float64                     `json:"bw_bytes"`
		Latency        struct{ Mean, Max float64 } `json:"lat_ns"`
	}
	var result struct {
		Jobs []struct{ Read, Write direction }
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || len(result.Jobs) != 1 {
		return done{}, fmt.Errorf("fio's output: %w: %.200s", err, out.String())
	}
	d := result.Jobs[0].Read
	if d.BytesPerSecond == 0 {
		d = result.Jobs[0].Write
	}
	return done{rate: d.BytesPerSecond / 1e6, mean: d.Latency.Mean, longest: d.Latency.Max}, nil
}
