package shell

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

// pass returns when time has passed.
func pass() {
	for start := time.Now(); time.Since(start) < time.Millisecond; {
	}
}

func TestClockCountsWorkOnly(t *testing.T) {
	var c clock
	c.start(0, nil)
	defer c.stop()
	pass()
	for name, stop := range map[string][2]func(){
		"wait": {c.wait, c.resume},
		"nap":  {c.nap, c.wake},
		"both": {func() { c.nap(); c.nap(); c.wait() }, func() { c.resume(); c.wake(); c.wake() }},
	} {
		before := c.total()
		stop[0]()
		stopped := c.total()
		pass()
		if c.total() != stopped || stopped < before {
			t.Errorf("%s: the clock went from %v to %v", name, stopped, c.total())
		}
		stop[1]()
		pass()
		if c.total() < stopped+time.Millisecond {
			t.Errorf("%s: the clock stays at %v afterwards", name, stopped)
		}
	}
}

// machine returns a computer with all programs.
func machine(t *testing.T) *Machine {
	t.Helper()
	fs := memfs.New(memfs.Limits{Bytes: 1 << 20, Nodes: 1000})
	root := memfs.User{Root: true}
	for _, dir := range []string{"/bin", "/tmp"} {
		if err := fs.Mkdir(root, dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range Names() {
		if err := fs.WriteFile(root, "/bin/"+name, ProgramFile(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return NewMachine(fs, programs.Machine{})
}

// TestWhoWaitsIsNotAtWork runs what waits, and looks at the clocks of all processes.
func TestWhoWaitsIsNotAtWork(t *testing.T) {
	for script, processes := range map[string]int{
		"sleep 1000":               2,
		"(sleep 1000)":             3,
		"sleep 1000 & wait":        2,
		"x=$(sleep 1000)":          2,
		"sleep 1000 | cat":         3,
		"sleep 1000 | read x":      2,
		"read x":                   1,
		"sh -c 'sleep 1000; true'": 3,
		"sleep 1000 | { while read x; do :; done; }": 2,
	} {
		t.Run(script, func(t *testing.T) {
			m := machine(t)
			stdin, feeder, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			defer feeder.Close()
			process, err := m.Start(t.Context(), Origin{}, []string{"sh", "-c", script})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer m.Finish(process)
				_, _ = m.Exec(&programs.Proc{
					Ctx: process.Ctx, PID: process.PID, Args: process.Args, Dir: "/tmp", Stdin: stdin, Stdout: feeder, Stderr: feeder, FS: m.FS, Sys: m,
				}, func() {})
			}()
			defer func() { process.Kill(9); <-ended }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for waiting(m) < processes {
				if ctx.Err() != nil {
					t.Fatalf("%d of %d processes wait", waiting(m), processes)
				}
				runtime.Gosched()
			}
		})
	}
}

// waiting counts the processes that wait.
func waiting(m *Machine) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, p := range m.processes {
		p.clock.mu.Lock()
		if p.clock.waits > 0 {
			n++
		}
		p.clock.mu.Unlock()
	}
	return n
}
