package plugintest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// noise returns n bytes in which every value occurs and no block equals the next.
func noise(n int) []byte {
	b := make([]byte, n)
	state := uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return b
}

var stdioCases = []sandboxCase{
	{"no input is empty input", func(s *session) {
		equalText(s, "output", s.exec(sandbox.Command{Args: []string{"cat"}}).stdout, "")
	}},
	{"empty input", func(s *session) {
		equalText(s, "output", s.exec(sandbox.Command{Args: []string{"cat"}}, "").stdout, "")
	}},
	{"input comes back byte for byte", func(s *session) {
		want := noise(3<<20 + 1)
		equalText(s, "output", s.exec(sandbox.Command{Args: []string{"cat"}}, string(want)).stdout, string(want))
	}},
	{"large input", func(s *session) {
		r := s.exec(sandbox.Command{Args: []string{"wc", "-c"}}, strings.Repeat("x", 10<<20))
		equalText(s, "count", strings.TrimSpace(r.stdout), fmt.Sprint(10<<20))
	}},
	{"input that nobody reads", func(s *session) {
		r := s.exec(shell("exit 4"), strings.Repeat("x", 8<<20))
		equal(s, "exit code", r.exit.Code, 4)
	}},
	{"input that is read in part", func(s *session) {
		r := s.exec(shell("head -n 1"), strings.Repeat("line\n", 1<<20))
		equalText(s, "output", r.stdout, "line\n")
	}},
	{"input that never comes does not hold the call", func(s *session) {
		reader, writer := io.Pipe()
		defer writer.Close()
		exit, err := s.Exec(s.ctx, shell("exit 6"), sandbox.IO{Stdin: reader})
		s.must(err)
		equal(s, "exit code", exit.Code, 6)
	}},
	{"input and output take turns", takeTurns},
	{"a reader that fails ends the command", func(s *session) {
		failing := io.MultiReader(strings.NewReader("some"), failingReader{})
		err := s.execError(sandbox.Command{Args: []string{"cat"}}, sandbox.IO{Stdin: failing})
		if !strings.Contains(err.Error(), errFailing.Error()) {
			s.Errorf("error %v does not say why", err)
		}
	}},
	{"a writer that fails ends the command", func(s *session) {
		err := s.execError(shell("yes"), sandbox.IO{Stdout: failingWriter{}})
		if !strings.Contains(err.Error(), errFailing.Error()) {
			s.Errorf("error %v does not say why", err)
		}
	}},
	{"binary output is exact", func(s *session) {
		equalText(s, "output", s.sh(`printf '\000\001\002\177\200\377\n\r\n'`), "\x00\x01\x02\x7f\x80\xff\n\r\n")
	}},
	{"10 MiB of output", func(s *session) {
		got := s.sh("head -c %d /dev/zero | tr '\\000' x", 10<<20)
		if len(got) != 10<<20 || strings.Trim(got, "x") != "" {
			s.Errorf("got %d bytes, all x: %v", len(got), strings.Trim(got, "x") == "")
		}
	}},
	{"large output on both", func(s *session) {
		r := s.exec(shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"))
		equal(s, "bytes of stdout", len(r.stdout), 1000000)
		equal(s, "bytes of stderr", len(r.stderr), 1000000)
	}},
	{"many small writes keep their order", func(s *session) {
		var want strings.Builder
		for i := range 2000 {
			fmt.Fprintln(&want, i)
		}
		equalText(s, "output", s.sh("i=0; while test $i -lt 2000; do echo $i; i=$((i+1)); done"), want.String())
	}},
	{"output is there before the exit", func(s *session) {
		for range 20 {
			equalText(s, "output", s.exec(shell("echo last; exit 1")).stdout, "last\n")
		}
	}},
	{"outputs may be dropped", func(s *session) {
		exit, err := s.Exec(s.ctx, shell("echo a; echo b >&2; exit 2"), sandbox.IO{})
		s.must(err)
		equal(s, "exit code", exit.Code, 2)
	}},
	{"the start is told once, before output", func(s *session) {
		var calls, pid int
		first := ""
		note := func(what string) {
			if first == "" {
				first = what
			}
		}
		_, err := s.Exec(s.ctx, shell("echo out"), sandbox.IO{
			Started: func(p int) { calls, pid = calls+1, p; note("start") },
			Stdout:  writerFunc(func(b []byte) (int, error) { note("output"); return len(b), nil }),
		})
		s.must(err)
		equal(s, "number of calls", calls, 1)
		equal(s, "first", first, "start")
		if pid <= 0 {
			s.Errorf("process id is %d", pid)
		}
	}},
	{"a slow reader stops only its own command", slowReader},
}

// takeTurns talks to a command while it runs.
func takeTurns(s *session) {
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Exec(s.ctx, sandbox.Command{Args: []string{"cat"}}, sandbox.IO{Stdin: inRead, Stdout: outWrite})
		outWrite.CloseWithError(io.EOF)
		ended <- err
	}()
	for _, word := range []string{"one\n", "two\n", "three\n"} {
		if _, err := io.WriteString(inWrite, word); err != nil {
			s.Fatalf("write input: %v", err)
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(outRead, got); err != nil {
			s.Fatalf("read output: %v", err)
		}
		equalText(s, "answer", string(got), word)
	}
	inWrite.Close()
	s.must(<-ended)
}

// slowReader leaves endless output unread while other commands run, then ends the first one.
func slowReader(s *session) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	blocked, release := make(chan struct{}), make(chan struct{})
	first := true
	ended := make(chan error, 1)
	go func() {
		_, err := s.Exec(ctx, sandbox.Command{Args: []string{"yes", strings.Repeat("x", 100)}}, sandbox.IO{
			Stdout: writerFunc(func(b []byte) (int, error) {
				if first {
					first = false
					close(blocked)
					<-release
				}
				return len(b), nil
			}),
		})
		ended <- err
	}()
	<-blocked
	for range 10 {
		equal(s, "bytes of output", len(s.sh("head -c 1000000 /dev/zero")), 1000000)
	}
	content := noise(1 << 20)
	path := s.dir() + "/beside"
	s.write(path, string(content), sandbox.WriteOptions{})
	if !bytes.Equal([]byte(s.read(path)), content) {
		s.Error("file written beside a slow reader differs")
	}
	cancel()
	close(release)
	s.wantError(<-ended, context.Canceled)
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

var errFailing = fmt.Errorf("this fails on purpose")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errFailing }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFailing }
