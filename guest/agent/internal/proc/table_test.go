package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is a safety net: a test that meets it fails.
const patience = 30 * time.Second

// newTable becomes the reaper of all descendants, as PID 1 is. Tests that use it do not use os/exec.
func newTable(t *testing.T) *Table {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	table := NewTable()
	t.Cleanup(table.Close)
	return table
}

func script(t *testing.T, text string, limits ...Limit) Spec {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	fd := null.Fd()
	return Spec{Path: "/bin/sh", Args: []string{"sh", "-c", text}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Files: [3]uintptr{fd, fd, fd},
		CgroupFD: -1, Limits: limits}
}

func await(t *testing.T, c *Child) syscall.WaitStatus {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the child is not reported")
	}
	status, _ := c.Status()
	return status
}

// zombies counts the children of this process that have ended and were not collected.
func zombies(t *testing.T) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

func TestEveryChildIsToldItsOwnEnd(t *testing.T) {
	table := newTable(t)
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			// Each leaves an orphan behind, which nobody waits for.
			c, err := table.Start(script(t, "true & exit "+strconv.Itoa(i%200)))
			if err != nil {
				t.Error(err)
				return
			}
			if status := await(t, c); status.ExitStatus() != i%200 {
				t.Errorf("got %d, want %d", status.ExitStatus(), i%200)
			}
		})
	}
	wg.Wait()
	for {
		again := table.Reaped()
		if zombies(t) == 0 {
			break
		}
		select {
		case <-again:
		case <-time.After(patience):
			t.Fatal("zombies stay")
		}
	}
	table.mu.Lock()
	defer table.mu.Unlock()
	if len(table.children)+len(table.pending)+len(table.early) != 0 {
		t.Errorf("the table remembers %v, %v, %v", table.children, table.pending, table.early)
	}
}

func TestLimitsHoldFromTheFirstInstruction(t *testing.T) {
	table := newTable(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			want := 64 + i
			limit := Limit{Resource: unix.RLIMIT_NOFILE, Soft: uint64(want), Hard: uint64(want)}
			c, err := table.Start(script(t, "[ $(ulimit -n) = "+strconv.Itoa(want)+" ]", limit))
			if err != nil {
				t.Error(err)
				return
			}
			if status := await(t, c); status.ExitStatus() != 0 {
				t.Errorf("limit %d: the shell says otherwise (%d)", want, status.ExitStatus())
			}
		})
	}
	wg.Wait()
}

// A reaper sleeps in the kernel until a process ends, and so may outlive its table.
func TestClosedTableCollectsNothing(t *testing.T) {
	old := newTable(t)
	sleeper, err := old.Start(script(t, "exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	if err := syscall.Kill(sleeper.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-old.stopped
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(sleeper.PID, &status, 0, nil); pid != sleeper.PID {
		t.Errorf("the closed table took the report of a child: %v", err)
	}
}

func TestFailedStartsAreErrorsAndLeaveNothing(t *testing.T) {
	table := newTable(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			spec := script(t, "")
			spec.Path = "/nonesuch"
			if _, err := table.Start(spec); !errors.Is(err, syscall.ENOENT) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := zombies(t); n != 0 {
		t.Errorf("%d zombies", n)
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	table := newTable(t)
	c, err := table.Start(script(t, "sleep 1000 & sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Signal(c, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := await(t, c); status.Signal() != syscall.SIGTERM {
		t.Errorf("status %v", status)
	}
	if err := table.Signal(c, syscall.SIGTERM); err != nil {
		t.Errorf("a signal to a child that has ended: %v", err)
	}
}

// A report that arrives before the start has returned is the start's, not an orphan's.
func TestEarlyReportsAreKeptForTheStartsThatMayAsk(t *testing.T) {
	table := &Table{children: map[int]*Child{}, pending: map[uint64]struct{}{}, early: map[int]early{}, reaped: make(chan struct{})}
	first := table.begin()
	table.early[100] = early{after: table.starts}
	second := table.begin()
	table.early[200] = early{after: table.starts}
	table.finish(second, nil)
	if len(table.early) != 2 {
		t.Fatalf("%v: the first start is under way still", table.early)
	}
	c := &Child{PID: 100, trapped: make(chan struct{}), done: make(chan struct{})}
	table.finish(first, c)
	select {
	case <-c.Done():
	default:
		t.Error("the child was not told")
	}
	if len(table.early)+len(table.children) != 0 {
		t.Errorf("left: %v, %v", table.early, table.children)
	}
}
