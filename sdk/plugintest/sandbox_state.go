package plugintest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

var stateCases = []sandboxCase{
	{"info describes the environment", func(s *session) {
		i, err := s.Info(s.ctx)
		s.must(err)
		for what, text := range map[string]string{
			"hostname": i.Hostname, "kernel": i.Kernel, "architecture": i.Architecture, "agent version": i.AgentVersion, "user": i.User,
		} {
			if text == "" {
				s.Errorf("%s is empty", what)
			}
		}
		if i.CPUs < 1 || i.MemoryBytes == 0 || i.Uptime <= 0 {
			s.Errorf("%d processors, %d bytes of memory, up for %v", i.CPUs, i.MemoryBytes, i.Uptime)
		}
		if !path.IsAbs(i.Home) || !path.IsAbs(i.WorkingDir) {
			s.Errorf("home %q, working directory %q", i.Home, i.WorkingDir)
		}
	}},
	{"info and commands agree", func(s *session) {
		equalText(s, "kernel", s.sh("uname -r"), s.info.Kernel+"\n")
		equalText(s, "architecture", s.sh("uname -m"), s.info.Architecture+"\n")
		equalText(s, "hostname", s.sh("hostname"), s.info.Hostname+"\n")
		equalText(s, "user", s.sh("id -un"), s.info.User+"\n")
	}},
	{"only known capabilities are declared, each once", func(s *session) {
		seen := map[string]bool{}
		for _, c := range s.info.Capabilities {
			if !slices.Contains(declinable, c) && !slices.Contains(demanded, c) || seen[c] {
				s.Errorf("capability %q is unknown or declared twice", c)
			}
			seen[c] = true
		}
	}},
	{"no capability is declined but those that may be", func(s *session) {
		for _, c := range demanded {
			if !s.has(c) && !slices.Contains(s.terms.excused, c) {
				s.Errorf("capability %q is missing; a sandbox may lack only %q", c, declinable)
			}
		}
	}},
	{"uptime passes", func(s *session) {
		before, err := s.Info(s.ctx)
		s.must(err)
		s.exec(sandbox.Command{Args: []string{"sleep", "0.1"}})
		after, err := s.Info(s.ctx)
		s.must(err)
		if after.Uptime <= before.Uptime {
			s.Errorf("uptime went from %v to %v", before.Uptime, after.Uptime)
		}
	}},
	{"metrics", func(s *session) {
		m, err := s.Metrics(s.ctx)
		if !s.has(sandbox.CapMetrics) {
			s.wantError(err, errdef.ErrUnsupported)
			return
		}
		s.must(err)
		if m.MemoryTotalBytes == 0 || m.MemoryAvailableBytes == 0 || m.MemoryAvailableBytes > m.MemoryTotalBytes || m.Processes < 1 || m.CPUTime <= 0 {
			s.Errorf("metrics: %+v", m)
		}
		s.sh("i=0; while test $i -lt 5000; do i=$((i+1)); done")
		s.eventually("processor time has grown", func() bool {
			later, err := s.Metrics(s.ctx)
			s.must(err)
			return later.CPUTime > m.CPUTime
		})
	}},
	{"dial", dialCase},
	{"freeze and thaw", freezeCase},
	{"no main process", func(s *session) {
		if s.info.Main.Defined {
			return // held against SandboxMain
		}
		_, err := s.WaitMain(s.ctx)
		s.wantError(err, errdef.ErrNotFound)
		s.wantError(s.MainOutput(s.ctx, false, io.Discard, io.Discard), errdef.ErrNotFound)
	}},
}

// dialCase talks to a netcat inside the sandbox.
func dialCase(s *session) {
	if !s.has(sandbox.CapDial) {
		_, err := s.Dial(s.ctx, "tcp", "127.0.0.1:7777")
		s.wantError(err, errdef.ErrUnsupported)
		return
	}
	_, err := s.Dial(s.ctx, "tcp", "127.0.0.1:1")
	if err == nil {
		s.Error("dial to a closed port: no error")
	}
	_, err = s.Dial(s.ctx, "carrier-pigeon", "roof")
	s.wantError(err, errdef.ErrInvalid)

	inRead, inWrite := io.Pipe()
	var heard bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		cmd := sandbox.Command{Args: []string{"nc", "-l", "-p", "7777"}}
		_, err := s.Exec(s.ctx, cmd, sandbox.IO{Stdin: inRead, Stdout: &heard})
		ended <- err
	}()
	var conn io.ReadWriteCloser
	s.eventually("netcat listens", func() bool {
		c, err := s.Dial(s.ctx, "tcp", "127.0.0.1:7777")
		conn = c
		return err == nil
	})
	defer conn.Close()
	if _, err := io.WriteString(inWrite, "from inside\n"); err != nil {
		s.Fatal(err)
	}
	got := make([]byte, len("from inside\n"))
	if _, err := io.ReadFull(conn, got); err != nil {
		s.Fatal(err)
	}
	equalText(s, "heard outside", string(got), "from inside\n")
	if _, err := io.WriteString(conn, "from outside\n"); err != nil {
		s.Fatal(err)
	}
	s.must(conn.Close())
	inWrite.Close()
	s.must(<-ended)
	equalText(s, "heard inside", heard.String(), "from outside\n")
}

// freezeCase watches a file grow, stop, and grow again.
func freezeCase(s *session) {
	if !s.has(sandbox.CapFreeze) {
		s.wantError(s.Freeze(s.ctx), errdef.ErrUnsupported)
		s.wantError(s.Thaw(s.ctx), errdef.ErrUnsupported)
		return
	}
	file := s.dir() + "/ticks"
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Exec(ctx, shell("while true; do echo x >> "+file+"; done"), sandbox.IO{})
		ended <- err
	}()
	defer func() { cancel(); <-ended }()
	size := func() uint64 {
		f, err := s.Stat(s.ctx, file, false)
		if errors.Is(err, errdef.ErrNotFound) {
			return 0
		}
		s.must(err)
		return f.Size
	}
	grows := func() bool {
		before := size()
		// Nothing runs inside that could tell the time.
		wait(s, 300*time.Millisecond)
		return size() > before
	}
	for !grows() {
		s.must(s.ctx.Err())
	}
	s.must(s.Freeze(s.ctx))
	if grows() {
		s.Error("a frozen command goes on")
	}
	s.must(s.Thaw(s.ctx))
	for !grows() {
		s.must(s.ctx.Err())
	}
}

func wait(s *session, d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

var shutdownCases = []sandboxCase{
	{"without a main process", func(s *session) {
		exit, err := s.Shutdown(s.ctx, time.Second)
		s.must(err)
		if exit != nil && !s.info.Main.Defined {
			s.Errorf("main process ended with %+v, there was none", exit)
		}
		s.gone()
	}},
	{"ends what runs", func(s *session) {
		started, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			exit, err := s.Exec(s.ctx, sandbox.Command{Args: []string{"sleep", "1000"}}, sandbox.IO{Started: func(int) { close(started) }})
			if err == nil && exit.Code == 0 {
				err = errors.New("the command ended by itself")
			} else {
				err = nil
			}
			ended <- err
		}()
		<-started
		_, err := s.Shutdown(s.ctx, time.Second)
		s.must(err)
		s.must(<-ended)
		s.gone()
	}},
}

// gone demands that nothing works any more.
func (s *session) gone() {
	s.Helper()
	_, err := s.Exec(s.ctx, sandbox.Command{Args: []string{"true"}}, sandbox.IO{})
	s.wantError(err, errdef.ErrUnavailable, errdef.ErrState)
	_, err = s.Stat(s.ctx, "/", false)
	s.wantError(err, errdef.ErrUnavailable, errdef.ErrState)
	_, err = s.ReadFile(s.ctx, "/etc/passwd", sandbox.Range{})
	s.wantError(err, errdef.ErrUnavailable, errdef.ErrState)
}

// mainCases run with a main process, a line of shell.
var mainCases = []struct {
	name, main string
	run        func(s *session)
}{
	{"runs and is ended by shutdown", "echo out; echo err >&2; while true; do sleep 0.2; done", func(s *session) {
		equal(s, "defined", s.info.Main.Defined, true)
		equal(s, "running", s.info.Main.Running, true)
		var out, errOut bytes.Buffer
		s.eventually("its output is there", func() bool {
			out.Reset()
			errOut.Reset()
			s.must(s.MainOutput(s.ctx, false, &out, &errOut))
			return out.Len() > 0 && errOut.Len() > 0
		})
		equalText(s, "stdout", out.String(), "out\n")
		equalText(s, "stderr", errOut.String(), "err\n")
		ctx, cancel := context.WithTimeout(s.ctx, 100*time.Millisecond)
		defer cancel()
		_, err := s.WaitMain(ctx)
		s.wantError(err, context.DeadlineExceeded)
		exit, err := s.Shutdown(s.ctx, 5*time.Second)
		s.must(err)
		if exit == nil || exit.Code != 143 || exit.Signal != "TERM" {
			s.Errorf("main process ended with %+v, want TERM", exit)
		}
		s.gone()
	}},
	{"ends by itself", "echo done; exit 3", func(s *session) {
		var out strings.Builder
		s.must(s.MainOutput(s.ctx, true, &out, io.Discard))
		equalText(s, "output", out.String(), "done\n")
		exit, err := s.WaitMain(s.ctx)
		s.must(err)
		equal(s, "exit code", exit.Code, 3)
		info, err := s.Info(s.ctx)
		s.must(err)
		if !info.Main.Defined || info.Main.Running || info.Main.Exit == nil || info.Main.Exit.Code != 3 {
			s.Errorf("state of the main process: %+v", info.Main)
		}
		last, err := s.Shutdown(s.ctx, time.Second)
		s.must(err)
		if last == nil || last.Code != 3 {
			s.Errorf("shutdown tells of %+v", last)
		}
	}},
	{"its last MiB of output is kept", "head -c 3000000 /dev/zero; printf end; sleep 1000", func(s *session) {
		var out bytes.Buffer
		s.eventually("it has written all", func() bool {
			out.Reset()
			s.must(s.MainOutput(s.ctx, false, &out, io.Discard))
			return strings.HasSuffix(out.String(), "end")
		})
		if out.Len() < 1<<20 || out.Len() > 2<<20 {
			s.Errorf("kept %s bytes", strconv.Itoa(out.Len()))
		}
	}},
}
