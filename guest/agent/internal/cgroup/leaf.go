package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Leaf is the cgroup of one command.
type Leaf struct {
	tree *Tree
	path string
	dir  *os.File
}

// NewLeaf makes a cgroup. Release gives it back.
func (t *Tree) NewLeaf(b Bounds) (*Leaf, error) {
	t.mu.Lock()
	t.serial++
	path := filepath.Join(t.work, "exec-"+strconv.Itoa(t.serial))
	t.mu.Unlock()
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	if err := t.limit(path, b); err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("limit a command: %w", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	return &Leaf{tree: t, path: path, dir: dir}, nil
}

// FD is the descriptor of the cgroup's directory, for proc.Spec.
func (l *Leaf) FD() int { return int(l.dir.Fd()) }

// Kill ends every process in the leaf, whatever it has done to get away. It returns before they are gone.
func (l *Leaf) Kill() error { return write(l.path, "cgroup.kill", "1") }

// OOMKills counts the processes that the kernel killed because memory ran out.
func (l *Leaf) OOMKills() uint64 {
	events, err := os.ReadFile(filepath.Join(l.path, "memory.events"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(events)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// Release gives the leaf back: now, or when the last process that the command left behind has ended.
func (l *Leaf) Release() {
	_ = l.dir.Close()
	l.tree.mu.Lock()
	l.tree.left = append(l.tree.left, l)
	l.tree.mu.Unlock()
	l.tree.sweep()
}

// sweep removes released leaves that are empty. The kernel refuses the others.
func (t *Tree) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = slices.DeleteFunc(t.left, func(l *Leaf) bool {
		err := os.Remove(l.path)
		return err == nil || os.IsNotExist(err)
	})
}
