package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/tree"
)

// Limits of what a stage may leave. An agent is no more to be trusted with the host's disk than with anything else.
const (
	maxArtefactsBytes = observe.MaxArtefactsBytes
	maxArtefactsFiles = 100_000
)

// home is the directory that artefacts go into: the run directory, or one that goes with the run.
func (r *Run) home() (string, error) {
	r.homeOnce.Do(func() {
		if r.dir != nil {
			r.homeDir = r.dir.Path()
			return
		}
		r.homeDir, r.homeErr = os.MkdirTemp("", "voidbox-run-")
	})
	return r.homeDir, r.homeErr
}

// leaveHome removes a home that goes with the run.
func (r *Run) leaveHome(context.Context) error {
	if r.dir != nil || r.homeDir == "" {
		return nil
	}
	return os.RemoveAll(r.homeDir)
}

// give puts what earlier stages left into a sandbox, where it belongs to the agent's user.
func give(ctx context.Context, box sandbox.Sandbox, bound *plan.AgentRun) error {
	if len(bound.Files) == 0 {
		return nil
	}
	info, err := box.Info(ctx)
	if err != nil {
		return &agent.SandboxError{Err: err}
	}
	user := ""
	if info.Has(sandbox.CapUsers) {
		user = bound.Sandbox.User
	}
	for _, f := range bound.Files {
		err := box.MakeDir(ctx, f.To, sandbox.MakeDirOptions{Parents: true, User: user})
		if err == nil {
			err = pump(func(w io.Writer) error {
				_, err := tree.Pack(ctx, f.From, w)
				return err
			}, func(r io.Reader) error {
				_, err := box.WriteTree(ctx, f.To, sandbox.TreeOptions{User: user}, r)
				return err
			})
		}
		if err != nil {
			return &agent.SandboxError{Err: fmt.Errorf("put files into %s: %w", f.To, err)}
		}
	}
	return nil
}

// take keeps an agent's artefacts, and returns their directory; empty for an agent that names none. It is there whole or not at all.
func (r *Run) take(ctx context.Context, box sandbox.Sandbox, s *plan.Stage, bound *plan.AgentRun) (string, error) {
	if len(bound.Artefacts) == 0 {
		return "", nil
	}
	dir, err := r.keepFiles(s, func(dir string) error {
		left := tree.Options{MaxBytes: maxArtefactsBytes, MaxFiles: maxArtefactsFiles, Accessible: true}
		for _, name := range bound.Artefacts {
			stats, err := r.takeOne(ctx, box, name, filepath.Join(dir, path.Base(name)), left)
			if err != nil {
				return fmt.Errorf("keep %s: %w", name, err)
			}
			left.MaxBytes, left.MaxFiles = max(left.MaxBytes-stats.Bytes, 1), max(left.MaxFiles-stats.Files, 1) // 0 would be no limit
		}
		return nil
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return dir, err
}

func (r *Run) takeOne(ctx context.Context, box sandbox.Sandbox, from, to string, opt tree.Options) (stats tree.Stats, err error) {
	if _, err := box.Stat(ctx, from, true); errors.Is(err, errdef.ErrNotFound) {
		return stats, errdef.New(errdef.ErrNotFound, "the agent finished without making it").
			WithRemedy("tell the agent in its prompt to make it, or take it out of artefacts")
	}
	search := &secretSearch{secrets: r.cfg.Plan.Secrets}
	err = pump(func(w io.Writer) error {
		_, err := box.ReadTree(ctx, from, w)
		return err
	}, func(in io.Reader) error {
		stats, err = tree.Unpack(ctx, to, opt, io.TeeReader(in, search))
		return err
	})
	if errors.Is(err, errdef.ErrExhausted) {
		err = errdef.New(errdef.ErrExhausted, "%w", err).WithRemedy("name only what later stages need: artefacts of a stage are limited to %d bytes and %d files", maxArtefactsBytes, maxArtefactsFiles)
	}
	return stats, err
}

// keepFiles makes the directory of a stage's artefacts.
func (r *Run) keepFiles(s *plan.Stage, fill func(dir string) error) (string, error) {
	home, err := r.home()
	if err != nil {
		return "", err
	}
	dir := observe.ArtefactsDir(home, s.ID())
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return "", err
	}
	err = fill(work)
	if err == nil {
		err = os.RemoveAll(dir) // of an attempt before
	}
	if err == nil {
		err = os.Rename(work, dir)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(work))
	}
	return dir, nil
}

// takeFormer copies what a reused stage left to this run.
func (r *Run) takeFormer(ctx context.Context, s *plan.Stage) (string, error) {
	return r.keepFiles(s, func(dir string) error {
		return pump(func(w io.Writer) error {
			_, err := tree.Pack(ctx, observe.ArtefactsDir(r.former.dir, s.ID()), w)
			return err
		}, func(in io.Reader) error {
			_, err := tree.Unpack(ctx, dir, tree.Options{MaxBytes: maxArtefactsBytes, MaxFiles: 2 * maxArtefactsFiles}, in)
			return err
		})
	})
}

// pump lets an archive flow from one side to the other, and waits for both. What a reader finds wrong comes before what that does to the
// writer.
func pump(write func(io.Writer) error, read func(io.Reader) error) error {
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(out)
		out.CloseWithError(err)
		written <- err
	}()
	err := read(in)
	in.CloseWithError(io.ErrClosedPipe)
	if writeErr := <-written; writeErr != nil && (err == nil || !errors.Is(writeErr, io.ErrClosedPipe)) {
		err = writeErr
	}
	return err
}

// secretSearch is a writer that refuses what holds a secret of the plan: files of a run directory are read by other programs and sent to
// other people, and no redaction could tell what a file is good for without it.
type secretSearch struct {
	secrets []plan.Secret
	tail    []byte // end of what was written, in which a secret may have begun
}

// shortestSearched is the length of a secret that is looked for: shorter ones turn up by chance.
const shortestSearched = 8

func (s *secretSearch) Write(p []byte) (int, error) {
	longest := 0
	window := append(s.tail, p...)
	for _, secret := range s.secrets {
		if len(secret.Value) < shortestSearched {
			continue
		}
		longest = max(longest, len(secret.Value))
		if bytes.Contains(window, []byte(secret.Value)) {
			return 0, errdef.New(errdef.ErrPermission, "it holds %s, which may not leave the sandbox", secret.Name).
				WithRemedy("keep a directory without it: configuration of tools, such as .git/config, often has a token in it")
		}
	}
	s.tail = append([]byte(nil), window[len(window)-min(len(window), max(longest-1, 0)):]...)
	return len(p), nil
}
