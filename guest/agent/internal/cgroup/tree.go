package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Tree is the agent's part of a cgroup v2 hierarchy.
type Tree struct {
	work    string
	enabled map[string]bool // controllers of the leaves
	serial  int

	mu   sync.Mutex
	left []*Leaf // released, but not empty yet
}

// Bounds limits everything but the agent. Zero means no bound.
type Bounds struct {
	MemoryBytes uint64
	Processes   uint64
}

var controllers = []string{"memory", "pids", "cpu"}

// Open makes the tree below root, where a cgroup v2 hierarchy is mounted, and moves this process to its place in it. A
// controller that the kernel lacks is done without: Has tells.
func Open(root string, bounds Bounds) (*Tree, error) {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		return nil, fmt.Errorf("cgroup v2 at %s: %w", root, err)
	}
	t := &Tree{work: filepath.Join(root, "work"), enabled: map[string]bool{}}
	agent := filepath.Join(root, "agent")
	for _, dir := range []string{agent, t.work} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	if err := write(agent, "cgroup.procs", "0"); err != nil {
		return nil, fmt.Errorf("move the agent into its cgroup: %w", err)
	}
	for _, name := range controllers {
		enable := "+" + name
		if write(root, "cgroup.subtree_control", enable) == nil && write(t.work, "cgroup.subtree_control", enable) == nil {
			t.enabled[name] = true
		}
	}
	return t, t.limit(t.work, bounds)
}

// Has tells whether a controller works: memory, pids or cpu.
func (t *Tree) Has(controller string) bool { return t.enabled[controller] }

func (t *Tree) limit(dir string, b Bounds) error {
	if b.MemoryBytes > 0 && t.enabled["memory"] {
		if err := write(dir, "memory.max", strconv.FormatUint(b.MemoryBytes, 10)); err != nil {
			return err
		}
	}
	if b.Processes > 0 && t.enabled["pids"] {
		return write(dir, "pids.max", strconv.FormatUint(b.Processes, 10))
	}
	return nil
}

// Freeze stops every process of the guest but the agent, and returns once they stand still. No child may be in the middle
// of being started.
func (t *Tree) Freeze(ctx context.Context) error {
	if err := write(t.work, "cgroup.freeze", "1"); err != nil {
		return err
	}
	if err := t.await(ctx, t.work, "frozen 1"); err != nil {
		return errors.Join(err, t.Thaw())
	}
	return nil
}

// Thaw undoes Freeze.
func (t *Tree) Thaw() error { return write(t.work, "cgroup.freeze", "0") }

// Kill ends every process of the guest but the agent. It returns before they are gone.
func (t *Tree) Kill() error { return write(t.work, "cgroup.kill", "1") }

// Populated tells whether anything but the agent runs.
func (t *Tree) Populated() bool { return populated(t.work) }

// Close removes what is empty. It does not move this process back.
func (t *Tree) Close() error {
	t.sweep()
	return os.Remove(t.work)
}

// await waits until cgroup.events of dir holds a line. The kernel announces a change of the file by POLLPRI.
func (t *Tree) await(ctx context.Context, dir, line string) error {
	f, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		buf := make([]byte, 256)
		n, err := f.ReadAt(buf, 0)
		if n == 0 && err != nil {
			return err
		}
		if hasLine(string(buf[:n]), line) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		const look = 50 // milliseconds after which the context is looked at again
		if _, err := unix.Poll(fds, look); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func populated(dir string) bool {
	events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err == nil && hasLine(string(events), "populated 1")
}

func hasLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

// write writes to a control file. These take a value in one write or not at all.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
