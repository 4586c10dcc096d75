//go:build linux

// Command share measures shared directories beside virtiofsd. One VM has both mounted: the share that voidbox gives it, through
// vmm-qemu and share-virtiofs, and virtiofsd as a second device of the same QEMU, on the same directory of the host. A program in
// the guest (bench/share/probe) does each job on the one and on the other, by turns.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Goals and floors: of rates at least this much of virtiofsd's, of times at most.
const (
	rateGoal, rateFloor = 1.0, 0.9
	timeGoal, timeFloor = 1.0, 1.2
)

const bootLimit = 3 * time.Minute // emulated, on a busy machine

func main() {
	rounds := flag.Int("rounds", 15, "measurements of each side")
	bin := flag.String("bin", "bin", "directory of voidbox's plugins")
	out := flag.String("out", "bench/share.json", "file that the table goes into")
	only := flag.String("only", "", "leave out jobs whose names do not have this in them (bench/share/probe)")
	flag.Parse()
	runtime.LockOSThread() // virtiofsd dies with the thread that has started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rounds, *bin, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, bin, out, only string) error {
	var err error
	if voidbox.Installation, err = filepath.Abs(bin); err != nil {
		return err
	}
	cache, err := image.OpenCache("")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache.Dir(), "bench-share-") // on a disk, as what people share is
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	shared := filepath.Join(dir, "shared")
	if err := furnish(ctx, shared); err != nil {
		return err
	}
	peer, err := startPeer(dir, shared)
	if err != nil {
		return err
	}
	defer peer.stop()
	results, err := measure(ctx, shared, rounds, only)
	if err != nil {
		return err
	}
	return benchtable.Write(out, rows(results))
}

// measure boots the VM and runs the probe in it.
func measure(ctx context.Context, shared string, rounds int, only string) ([]result, error) {
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").MemoryMB(512).Backend("qemu").Mount("/mnt/ours", shared, "rw").Build(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = box.Shutdown(context.WithoutCancel(ctx)) }()
	if err := box.WaitReady(ctx, bootLimit); err != nil {
		return nil, err
	}
	// The copy is there so that dropping the guest's caches does not make a share read the probe again.
	if _, err := asRoot(ctx, box, "sh", "-ec", "cp /mnt/ours/probe /tmp/probe; mkdir -p /mnt/peer; mount -t virtiofs "+peerTag+" /mnt/peer"); err != nil {
		return nil, err
	}
	answer, err := asRoot(ctx, box, "/tmp/probe", "-ours", "/mnt/ours", "-peer", "/mnt/peer", "-rounds", fmt.Sprint(rounds),
		"-tree", fmt.Sprintf("%dx%d", treeDirs, treeFiles), "-only", only)
	if err != nil {
		return nil, err
	}
	var results []result
	if err := json.Unmarshal(answer, &results); err != nil {
		return nil, fmt.Errorf("the probe says %q: %w", answer, err)
	}
	return results, nil
}

// asRoot runs a program in the guest and returns its output. What it says otherwise is shown as it comes.
func asRoot(ctx context.Context, box *voidbox.Sandbox, args ...string) ([]byte, error) {
	contract, err := box.Sandbox(ctx)
	if err != nil {
		return nil, err
	}
	var stdout bytes.Buffer
	exit, err := contract.Exec(ctx, sandbox.Command{Args: args, User: "root"}, sandbox.IO{Stdout: &stdout, Stderr: os.Stderr})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%s in the guest: exit status %d", args[0], exit.Code)
	}
	return stdout.Bytes(), err
}

// result is what the probe writes.
type result struct {
	Job        string
	Unit       string
	Ours, Peer []float64
}

func rows(results []result) []benchtable.Row {
	var rows []benchtable.Row
	for _, r := range results {
		row := benchtable.Compare("share: "+r.Job, r.Unit, peerName, r.Ours, r.Peer)
		row.Goal, row.Floor = benchtable.AtLeast(rateGoal), benchtable.AtLeast(rateFloor)
		if r.Unit == "ms" {
			row.Goal, row.Floor = benchtable.AtMost(timeGoal), benchtable.AtMost(timeFloor)
		}
		rows = append(rows, row)
	}
	return rows
}

// What the host has for the guest. An issue asks for 50,000 files, of which an emulated CPU would look at one in a minute.
const (
	fileSize            = 32 << 20
	treeDirs, treeFiles = 20, 100
)

// furnish makes the shared directory: a file to read, one for each side to write, a tree, and the probe. All may be changed by
// everybody, since to virtiofsd the guest's user is no other than the host's with this number.
func furnish(ctx context.Context, shared string) error {
	content := bytes.Repeat([]byte("voidbox "), fileSize/8)
	for name, data := range map[string][]byte{"file": content, "ours/file": content, "peer/file": content} {
		if err := write(filepath.Join(shared, name), data); err != nil {
			return err
		}
	}
	for d := range treeDirs {
		for f := range treeFiles {
			if err := write(filepath.Join(shared, "tree", fmt.Sprintf("d%d", d), fmt.Sprintf("f%d", f)), []byte("x")); err != nil {
				return err
			}
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(shared, "probe"), "./bench/share/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the probe: %w\n%s", err, text)
	}
	return nil
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		return err
	}
	for _, p := range []string{path, filepath.Dir(path)} { // whatever the umask is
		if err := os.Chmod(p, 0o777); err != nil {
			return err
		}
	}
	return nil
}
