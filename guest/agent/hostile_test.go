package main_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// What connects and does not speak the protocol hurts nobody else.
func TestGarbageOnTheListener(t *testing.T) {
	p := startProcess(t, ownUser(t))
	garbage := []string{"", "\x00", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 1<<16),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 100), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x04\x00"}
	var wg sync.WaitGroup
	for _, text := range garbage {
		wg.Go(func() {
			conn, err := p.dial(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, text)
			_ = conn.(*net.UnixConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%.20q keeps its connection", text)
			}
		})
	}
	wg.Wait()
	says(t, p, "", "echo fine", "fine")
}

func TestTokens(t *testing.T) {
	p := startProcess(t, ownUser(t))
	near := append([]byte(nil), p.token...)
	near[31]++
	for _, token := range [][]byte{nil, {}, near, p.token[:31], append(p.token, 0)} {
		s := newClient(t, token, p.dial)
		if _, err := s.Info(t.Context()); !errors.Is(err, errdef.ErrUnauthenticated) {
			t.Errorf("token of %d bytes: %v", len(token), err)
		}
		if _, err := s.Exec(t.Context(), sandbox.Command{Args: []string{"true"}}, sandbox.IO{}); !errors.Is(err, errdef.ErrUnauthenticated) {
			t.Errorf("token of %d bytes, exec: %v", len(token), err)
		}
	}
	says(t, p, "", "echo fine", "fine")
}

// A shutdown takes along what commands left behind, whatever session it went to and whatever it ignores.
func TestShutdownLeavesNothing(t *testing.T) {
	config := ownUser(t)
	config.Env = map[string]string{"MARK": t.Name()}
	config.Main = &boot.Main{Args: []string{"sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"}}
	p := startProcess(t, config)
	shell(t, p, "", "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' >/dev/null 2>&1 &")
	if len(marked(t)) < 2 {
		t.Fatal("nothing was left running")
	}
	exit, err := p.Shutdown(t.Context(), 200*time.Millisecond)
	if err != nil || exit == nil || exit.Signal != "KILL" {
		t.Errorf("main process: %+v, %v", exit, err)
	}
	if err := p.end(); err != nil {
		t.Errorf("the agent: %v", err)
	}
	if left := marked(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// marked finds the processes of this machine that have the test's mark in their environment.
func marked(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(environ), "MARK="+t.Name()) {
			list = append(list, file)
		}
	}
	return list
}

func TestCommandsAtOnceLeaveNoZombies(t *testing.T) {
	p := startProcess(t, ownUser(t))
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			out, _, exit, err := sandbox.Output(t.Context(), p, sandbox.Command{Args: []string{"sh", "-c", "true & echo x; exit 5"}})
			if err != nil || string(out) != "x\n" || exit.Code != 5 {
				t.Errorf("%q, %+v, %v", out, exit, err)
			}
		})
	}
	wg.Wait()
	// The last orphans may be collected a moment later than the commands that left them.
	for ctx := t.Context(); ; {
		out, _ := shell(t, p, "", "ps -o stat= --ppid $PPID | grep -c Z")
		if strings.TrimSpace(out) == "0" {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("zombies: %s", out)
		}
	}
}

// In a machine, an ordinary user can neither starve nor end the agent.
func TestAGuestCannotHurtTheAgent(t *testing.T) {
	config := newConfig()
	config.MaxProcesses = 100
	v := startVM(t, config, options{})
	v.ready()
	s := v.client(config.Token)

	t.Run("signals", func(t *testing.T) {
		for _, user := range []string{"", "root"} {
			shell(t, s, user, "for s in KILL STOP SEGV HUP QUIT USR1 ABRT PIPE ALRM; do kill -$s 1; done")
		}
		says(t, s, "", "echo fine", "fine")
	})
	t.Run("the agent's cgroup", func(t *testing.T) {
		says(t, s, "", "(echo $$ > /sys/fs/cgroup/agent/cgroup.procs) 2>/dev/null || echo refused", "refused")
		says(t, s, "", "(echo max > /sys/fs/cgroup/work/pids.max) 2>/dev/null || echo refused", "refused")
	})
	t.Run("a fork bomb", func(t *testing.T) {
		cmd := sandbox.Command{Args: []string{"sh", "-c", "bomb() { bomb | bomb & }; bomb; sleep 1000"}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		started := make(chan struct{})
		go func() {
			_, err := s.Exec(ctx, cmd, sandbox.IO{Started: func(int) { close(started) }})
			ended <- err
		}()
		<-started
		info, err := s.Info(t.Context())
		if err != nil || info.Hostname == "" {
			t.Errorf("the agent does not answer: %v", err)
		}
		m, err := s.Metrics(t.Context())
		if err != nil || m.Processes > 110 {
			t.Errorf("%d processes, %v", m.Processes, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		says(t, s, "", "echo fine", "fine")
	})
	t.Run("memory of one command", func(t *testing.T) {
		cmd := sandbox.Command{Args: []string{"sh", "-c", "exec head -c 1000000000 /dev/zero | tail"}, Limits: sandbox.Limits{MemoryBytes: 24 << 20}}
		_, errs, exit, err := sandbox.Output(t.Context(), s, cmd)
		if err != nil || !exit.OOMKilled {
			t.Errorf("%+v, %v: %s", exit, err, errs)
		}
	})
	t.Run("all memory", func(t *testing.T) {
		cmd := sandbox.Command{Args: []string{"tail", "/dev/zero"}}
		_, _, exit, err := sandbox.Output(t.Context(), s, cmd)
		if err != nil || !exit.OOMKilled || exit.Signal != "KILL" {
			t.Errorf("%+v, %v", exit, err)
		}
		says(t, s, "", "echo fine", "fine")
	})
	t.Run("memory in files", func(t *testing.T) {
		_, _, _, err := sandbox.Output(t.Context(), s, sandbox.Command{Args: []string{"sh", "-c", "cat /dev/zero > /tmp/full; cat /dev/zero > /dev/shm/full; cat /dev/zero > ~/full"}})
		if err != nil {
			t.Error(err)
		}
		if err := s.Remove(t.Context(), "/tmp/full", true); err != nil {
			t.Error(err)
		}
		if _, err := s.Info(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("processes of one command", func(t *testing.T) {
		cmd := sandbox.Command{Args: []string{"sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.3 & done; wait"}, Limits: sandbox.Limits{Processes: 4}}
		_, errs, _, err := sandbox.Output(t.Context(), s, cmd)
		if err != nil || !strings.Contains(string(errs), "fork") {
			t.Errorf("%q, %v", errs, err)
		}
	})
	if _, err := s.Shutdown(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	v.awaitEnd()
}
