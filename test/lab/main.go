package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
)

// Main runs a package's tests from its TestMain, those that wait for the lab last, in one lab. It does not return.
func Main(m *testing.M, options ...Option) { os.Exit(Tests(m, options...).Run()) }

// Runner runs tests as testing.M does. It is what goleak.VerifyTestMain wants.
type Runner struct {
	m *testing.M
}

// Tests is [Main] for whoever has something to do when the tests have ended:
//
//	goleak.VerifyTestMain(lab.Tests(m))
func Tests(m *testing.M, options ...Option) *Runner {
	Init()
	current.options = options
	noted.await()
	return &Runner{m}
}

// Run returns the exit status of the process.
func (r *Runner) Run() int {
	defer current.clean()
	start := time.Now()
	code := r.m.Run()
	if len(noted.tests)+len(noted.benchmarks) == 0 || code != 0 && given("test.failfast") == "true" {
		return code
	}
	if err := runNoted(remaining(start)); err != nil {
		fmt.Fprintf(os.Stderr, "lab: %s: %v\n", noted.summary(), err)
		if !isMissing(err) || os.Getenv(testvm.RequireEnv) == "1" {
			return max(code, 1)
		}
		fmt.Fprintf(os.Stderr, "lab: these tests did not run; with %s=1 this is a failure\n", testvm.RequireEnv)
	}
	return code
}

// isMissing says whether err is a want of means to boot a lab, such as a network, and no fault of anything tested.
func isMissing(err error) bool {
	var program *MissingError
	var kernel *image.NoKernelError
	var pkg *image.PackageError
	return errors.As(err, &program) || errors.As(err, &kernel) || errors.As(err, &pkg)
}

// remaining returns what -test.timeout leaves of this process's time, or 0 where it sets no limit.
func remaining(start time.Time) time.Duration {
	limit, err := time.ParseDuration(given("test.timeout"))
	if err != nil || limit <= 0 {
		return 0
	}
	return max(time.Until(start.Add(limit)), time.Second)
}

// FailedError says that tests failed in the lab.
type FailedError struct{ Status Status }

func (e *FailedError) Error() string {
	return fmt.Sprintf("failed in the lab: exit status %d", e.Status.Code)
}

// runNoted boots the lab and runs this very program in it, for the tests that were noted.
func runNoted(timeout time.Duration) error {
	ctx := context.Background()
	if timeout > 0 {
		// The program in the lab ends itself first, and says which test took so long.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout+30*time.Second, errors.New("the lab's time is over"))
		defer cancel()
	}
	setup, err := current.prepare(ctx)
	if err != nil {
		return err
	}
	cfg := setup.Config
	if _, err := os.Stat("testdata"); err == nil {
		cfg.Files = append(slices.Clone(cfg.Files), File{"testdata", path.Join(guest.FilesDir, "testdata")})
	}
	l, err := Boot(ctx, cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	status, err := l.Run(ctx, Command{
		Args: append([]string{"/init"}, testFlags(&noted, timeout)...), Env: environment(), Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err == nil && status.Code != 0 {
		err = &FailedError{status}
	}
	return err
}

// environment returns our variables that are handed on.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "VOIDBOX_") && name != image.CacheDirEnv || name == "GODEBUG" || name == "GORACE" {
			env = append(env, e)
		}
	}
	return env
}

// current is what the options make of this process's lab.
var current prepared

type prepared struct {
	options []Option
	mu      sync.Mutex
	done    bool
	setup   Setup
	err     error
}

// prepare calls the options, once.
func (p *prepared) prepare(ctx context.Context) (Setup, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return p.setup, p.err
	}
	p.done = true
	p.setup.Log = func(s string) { fmt.Fprintln(os.Stderr, "lab:", s) }
	p.setup.Scratch, p.err = os.MkdirTemp("", "lab-")
	for _, option := range p.options {
		if p.err == nil {
			p.err = option(ctx, &p.setup)
		}
	}
	return p.setup, p.err
}

func (p *prepared) clean() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.setup.Scratch != "" {
		_ = os.RemoveAll(filepath.Clean(p.setup.Scratch))
	}
}

// given returns a flag's value, "" where there is no such flag.
func given(name string) string {
	f := flag.Lookup(name)
	if f == nil {
		return ""
	}
	return f.Value.String()
}
