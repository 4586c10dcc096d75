// Command image measures how an image becomes a disk, beside mkfs.erofs on the same tree already unpacked, and what a cached image
// adds to the start of a VM. Rounds of the sides alternate.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

const (
	makeGoal  = 1.0  // a layout to a disk, beside mkfs.erofs on the unpacked tree
	startGoal = 1.05 // a start from a cached image, beside one of the built-in system
)

func main() {
	rounds := flag.Int("rounds", 9, "measurements of each side")
	boots := flag.Int("boots", 21, "boots of each side")
	bin := flag.String("bin", "bin", "directory of voidbox and its plugins")
	out := flag.String("out", "bench/image.json", "file that the table goes into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *boots, *bin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, boots int, bin, out string) error {
	cache, err := image.OpenCache("")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache.Dir(), "bench-image-") // on the disk that images lie on
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive, err := testvm.Distribution.Tar(ctx, cache, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "tree")
	if err := unpack(ctx, archive, tree); err != nil {
		return err
	}
	var rows []benchtable.Row
	for _, packing := range packings {
		layout := filepath.Join(dir, packing.name)
		if err := writeLayout(archive, layout, packing); err != nil {
			return err
		}
		row, err := making(ctx, rounds, dir, layout, tree, packing)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	whole, err := throughout(ctx, rounds, dir, filepath.Join(dir, packings[0].name), archive)
	if err != nil {
		return err
	}
	small := filepath.Join(dir, "busybox")
	if err := writeBusybox(ctx, cache, small); err != nil {
		return err
	}
	row, err := start(ctx, boots, bin, "oci:"+small)
	_, _ = cache.RemoveImage(context.WithoutCancel(ctx), "oci:"+small)
	if err != nil {
		return err
	}
	return benchtable.Write(out, append(rows, whole, row))
}

func unpack(ctx context.Context, archive, tree string) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "tar", "-x", "--numeric-owner", "--exclude", "./dev/*", "-f", archive, "-C", tree).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unpack the tree: %w: %s", err, out)
	}
	return nil
}

// making compares a layout that becomes a disk with mkfs.erofs. Both end with everything on the disk.
func making(ctx context.Context, rounds int, dir, layout, tree string, p packing) (benchtable.Row, error) {
	row, err := alternate(rounds, "OCI layout, "+p.title+", to a disk", "mkfs.erofs on the unpacked tree",
		func() error { return makeDisk(ctx, filepath.Join(dir, "cache"), layout) },
		func() error { return makePeer(ctx, filepath.Join(dir, "peer.erofs"), tree) })
	row.Goal = benchtable.AtMost(makeGoal)
	return row, err
}

// throughout has the peer unpack the layer, too.
func throughout(ctx context.Context, rounds int, dir, layout, archive string) (benchtable.Row, error) {
	packed := filepath.Join(dir, "layer.gz")
	if out, err := exec.CommandContext(ctx, "sh", "-c", `gzip -c "$1" > "$2"`, "sh", archive, packed).CombinedOutput(); err != nil {
		return benchtable.Row{}, fmt.Errorf("gzip: %w: %s", err, out)
	}
	tree := filepath.Join(dir, "again")
	peer := func() error {
		if err := os.RemoveAll(tree); err != nil {
			return err
		}
		if err := unpack(ctx, packed, tree); err != nil {
			return err
		}
		return makePeer(ctx, filepath.Join(dir, "peer.erofs"), tree)
	}
	return alternate(rounds, "the same, one layer of gzip", "tar and mkfs.erofs", func() error { return makeDisk(ctx, filepath.Join(dir, "cache"), layout) }, peer)
}

func alternate(rounds int, name, peerName string, ours, peer func() error) (benchtable.Row, error) {
	var mine, other []float64
	for round := range rounds + 1 { // the first one warms the caches
		a, err := timed(ours)
		if err != nil {
			return benchtable.Row{}, err
		}
		b, err := timed(peer)
		if err != nil {
			return benchtable.Row{}, err
		}
		if round > 0 {
			mine, other = append(mine, a), append(other, b)
		}
	}
	return benchtable.Compare(name, "ms", peerName, mine, other), nil
}

func timed(work func() error) (float64, error) {
	begun := time.Now()
	err := work()
	return time.Since(begun).Seconds() * 1e3, err
}

func makeDisk(ctx context.Context, cacheDir, layout string) error {
	if err := os.RemoveAll(cacheDir); err != nil {
		return err
	}
	cache, err := image.OpenCache(cacheDir)
	if err != nil {
		return err
	}
	_, err = cache.Pull(ctx, source.Source{Kind: source.Layout, Path: layout})
	return err
}

func makePeer(ctx context.Context, disk, tree string) error {
	_ = os.Remove(disk)
	if out, err := exec.CommandContext(ctx, "mkfs.erofs", disk, tree).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.erofs (apt-get install erofs-utils): %w: %s", err, out)
	}
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	return syscall.Fsync(int(f.Fd()))
}
