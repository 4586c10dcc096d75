package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// patience is how long one case may take before it fails: long, since the sandbox may be a VM under emulation on a busy machine.
const patience = 3 * time.Minute

// declinable are the capabilities that every sandbox may lack, demanded those that none may.
var (
	declinable = []string{sandbox.CapPtyResize, sandbox.CapDial, sandbox.CapFreeze, sandbox.CapMetrics, sandbox.CapTrees}
	demanded   = []string{sandbox.CapExactLimits, sandbox.CapUsers}
)

// Option changes what the suite demands.
type Option func(*terms)

type terms struct{ excused []string }

// Excuse lets the sandbox under test lack a capability that no sandbox may lack. It is for tests that cannot give it what it
// needs, such as those of an agent that does not run as root, and not for plugins.
func Excuse(capabilities ...string) Option {
	return func(t *terms) { t.excused = append(t.excused, capabilities...) }
}

// Sandbox holds a sandbox against its contract. open returns a fresh one and cleans up after it with t.Cleanup; it is called a
// handful of times, since opening may mean booting a VM.
//
// The cases use only programs that a busybox has: sh, cat, head, tr, sleep and their like. A sandbox with a main process is
// held against SandboxMain as well.
func Sandbox(t *testing.T, open func(t *testing.T) sandbox.Sandbox, options ...Option) {
	var terms terms
	for _, option := range options {
		option(&terms)
	}
	groups := []struct {
		name  string
		cases []sandboxCase
	}{
		{"exec", execCases},
		{"stdio", stdioCases},
		{"pty", ptyCases},
		{"files", fileCases},
		{"state", stateCases},
	}
	shared := open(t)
	info, err := shared.Info(caseContext(t))
	if err != nil {
		t.Fatalf("info: %v", err)
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) { runCases(t, shared, info, terms, g.cases) })
	}
	t.Run("shutdown", func(t *testing.T) {
		for _, c := range shutdownCases {
			t.Run(c.name, func(t *testing.T) { c.run(newSession(t, open(t), info, terms)) })
		}
	})
}

// SandboxMain holds the main process of a sandbox against the contract. open returns a fresh sandbox that runs main.
func SandboxMain(t *testing.T, open func(t *testing.T, main []string) sandbox.Sandbox) {
	for _, c := range mainCases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, []string{"sh", "-c", c.main})
			info, err := s.Info(caseContext(t))
			if err != nil {
				t.Fatalf("info: %v", err)
			}
			c.run(newSession(t, s, info, terms{}))
		})
	}
}

type sandboxCase struct {
	name string
	run  func(s *session)
}

func runCases(t *testing.T, s sandbox.Sandbox, info sandbox.Info, terms terms, cases []sandboxCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(newSession(t, s, info, terms)) })
	}
}

// session is one case at work on a sandbox.
type session struct {
	*testing.T
	sandbox.Sandbox
	ctx   context.Context
	info  sandbox.Info
	terms terms
}

func newSession(t *testing.T, s sandbox.Sandbox, info sandbox.Info, terms terms) *session {
	return &session{T: t, Sandbox: s, ctx: caseContext(t), info: info, terms: terms}
}

func caseContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// result is what a command left.
type result struct {
	stdout, stderr string
	exit           sandbox.Exit
}

// shell is a command that runs a line of shell.
func shell(script string) sandbox.Command {
	return sandbox.Command{Args: []string{"sh", "-c", script}}
}

// exec runs a command that must be able to run.
func (s *session) exec(cmd sandbox.Command, stdin ...string) result {
	s.Helper()
	stdio := sandbox.IO{}
	if len(stdin) > 0 {
		stdio.Stdin = strings.NewReader(strings.Join(stdin, ""))
	}
	var out, errOut bytes.Buffer
	stdio.Stdout, stdio.Stderr = &out, &errOut
	exit, err := s.Exec(s.ctx, cmd, stdio)
	if err != nil {
		s.Fatalf("exec %q: %v\nstdout: %.500s\nstderr: %.500s", cmd.Args, err, out.String(), errOut.String())
	}
	return result{stdout: out.String(), stderr: errOut.String(), exit: exit}
}

// sh runs a line of shell that must succeed, and returns its output.
func (s *session) sh(format string, args ...any) string {
	s.Helper()
	r := s.exec(shell(fmt.Sprintf(format, args...)))
	if r.exit.Code != 0 {
		s.Fatalf("%s: exit %+v\nstdout: %.500s\nstderr: %.500s", fmt.Sprintf(format, args...), r.exit, r.stdout, r.stderr)
	}
	return r.stdout
}

// execError runs a command that must not be able to run, and returns why.
func (s *session) execError(cmd sandbox.Command, stdio sandbox.IO) error {
	s.Helper()
	exit, err := s.Exec(s.ctx, cmd, stdio)
	if err == nil {
		s.Fatalf("exec %q: ended with %+v, want an error", cmd.Args, exit)
	}
	return err
}

// wantError demands an error of one of the kinds.
func (s *session) wantError(err error, kinds ...error) {
	s.Helper()
	for _, k := range kinds {
		if errors.Is(err, k) {
			return
		}
	}
	s.Errorf("error is %v, want one of kind %v", err, kinds)
}

func (s *session) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func equal[T comparable](s *session, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func equalText(s *session, what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %.300q (%d bytes), want %.300q (%d bytes)", what, got, len(got), want, len(want))
	}
}

var dirs atomic.Int64

// dir makes a directory for the case.
func (s *session) dir() string {
	s.Helper()
	path := fmt.Sprintf("/tmp/suite-%d-%d", time.Now().UnixNano(), dirs.Add(1))
	s.must(s.MakeDir(s.ctx, path, sandbox.MakeDirOptions{Parents: true}))
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// A command that was just cancelled may still write a last file while the tree goes.
		err := s.Remove(ctx, path, true)
		for err != nil && ctx.Err() == nil {
			err = s.Remove(ctx, path, true)
		}
		if err != nil {
			s.Errorf("remove the directory of the case: %v", err)
		}
	})
	return path
}

func (s *session) write(path, content string, opt sandbox.WriteOptions) {
	s.Helper()
	n, err := s.WriteFile(s.ctx, path, opt, strings.NewReader(content))
	s.must(err)
	equal(s, "bytes written to "+path, n, int64(len(content)))
}

func (s *session) read(path string) string {
	s.Helper()
	b, err := sandbox.ReadBytes(s.ctx, s, path, 64<<20)
	s.must(err)
	return string(b)
}

// names lists a directory.
func (s *session) names(path string) []string {
	s.Helper()
	entries, err := s.ListDir(s.ctx, path)
	s.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func equalList(s *session, what string, got []string, want ...string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// eventually asks until ok is true or patience ends. pause runs inside the sandbox, so that its time passes too.
func (s *session) eventually(what string, ok func() bool) {
	s.Helper()
	for !ok() {
		if s.ctx.Err() != nil {
			s.Fatalf("waited in vain until %s", what)
		}
		s.exec(sandbox.Command{Args: []string{"sleep", "0.1"}})
	}
}

// has tells whether the sandbox declares a capability.
func (s *session) has(capability string) bool { return s.info.Has(capability) }
