package remote

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxPack is how large a file Git may write, which is the pack of one commit: 256 MiB in the shell's blocks of 512 bytes.
const maxPack = "524288"

// gitConfig holds for every command. A pack stays one file, which the limit above bounds; large blobs stream instead of filling
// memory; a server that sends next to nothing is given up.
var gitConfig = []string{
	"-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null", "-c", "credential.helper=", "-c", "fetch.unpackLimit=1",
	"-c", "core.bigFileThreshold=8m", "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60",
	"-c", "gc.auto=0", "-c", "maintenance.auto=false",
}

// clone fetches one commit and unpacks its tree. Nothing is checked out: git archive reads the objects, so that neither filters,
// links nor names of the repository reach the file system.
func (s Source) clone(ctx context.Context, t *tree) error {
	home, err := os.MkdirTemp("", "voidbox-git-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := git(ctx, home, nil, "init", "--quiet", "--bare", "--template=", "."); err != nil {
		return err
	}
	err = git(ctx, home, nil, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph", "--", s.URL, s.Ref)
	if err != nil {
		return errdef.New(errdef.ErrUnavailable, "fetch %s of %s: %w", s.Ref, s.URL, err).
			WithRemedy("check the address and the ref; a commit needs its full ID, and a private repository cannot be reached")
	}
	what := "FETCH_HEAD^{tree}"
	if s.Subdir != "" {
		what = "FETCH_HEAD:" + s.Subdir
	}
	t.subdir = "" // Git takes the directory out
	var unpacked error
	err = git(ctx, home, func(r io.Reader) error { unpacked = t.tar(r); return unpacked }, "archive", "--format=tar", what)
	if unpacked != nil && known(unpacked) {
		return unpacked
	}
	if err != nil {
		return errdef.New(errdef.ErrNotFound, "read %s of %s: %w", s.Subdir, s.Ref, err)
	}
	return nil
}

func known(err error) bool { return errors.As(err, new(*errdef.Error)) }

// git runs a command in dir, which is also its home. take reads its output and may leave early.
func git(ctx context.Context, dir string, take func(io.Reader) error, args ...string) error {
	program, err := exec.LookPath("git")
	if err != nil {
		return errdef.New(errdef.ErrNotFound, "the program git is not installed").WithRemedy("install git, or name an archive instead")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The shell limits what Git and its children write, and becomes Git.
	line := append([]string{"-c", `ulimit -f "$1" && shift && exec "$@"`, "sh", maxPack, program}, gitConfig...)
	cmd := exec.CommandContext(ctx, "/bin/sh", append(line, args...)...)
	cmd.Dir, cmd.Env = dir, gitEnv(dir)
	var said head
	cmd.Stderr = &said
	// A group of its own, since Git leaves the work to children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out io.Reader
	if take != nil {
		if out, err = cmd.StdoutPipe(); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var left error
	if take != nil {
		if left = take(out); left != nil {
			cancel()
		}
	}
	err = cmd.Wait()
	if left != nil {
		return left
	}
	if err != nil {
		return errdef.New(errdef.ErrUnavailable, "git %s: %w: %s", args[0], err, said.line())
	}
	return nil
}

// gitEnv holds nothing of the user's but the way to the network.
func gitEnv(home string) []string {
	env := []string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "GIT_ALLOW_PROTOCOL=http:https", "GIT_DIR=.", "GIT_NO_REPLACE_OBJECTS=1",
	}
	for _, name := range []string{"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// head keeps the beginning of what a program says.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), 600-len(h.kept))]...)
	return len(p), nil
}

func (h *head) line() string { return strings.Join(strings.Fields(string(h.kept)), " ") }
