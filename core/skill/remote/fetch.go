package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// deadline bounds one fetch, whatever the server does.
const deadline = 5 * time.Minute

// Store makes the directory kind/key of a cache with build, unless it is there: image.Cache.Entry.
type Store func(ctx context.Context, kind, key string, build func(ctx context.Context, dir string) error) (string, error)

// Fetch returns the directory of the cache that holds the skill.
func Fetch(ctx context.Context, s Source, store Store) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("%s took longer than %v", s.URL, deadline))
	defer cancel()
	if s.Hash == "" {
		return "", s.tell(ctx)
	}
	var fetched error
	dir, err := store(ctx, "skills", s.key(), func(ctx context.Context, dir string) error {
		fetched = s.fetch(ctx, dir)
		return fetched
	})
	if known(fetched) { // it needs no word about the cache
		err = fetched
	}
	if err != nil {
		return "", because(ctx, err)
	}
	if got, err := dirhash.HashDir(dir, "", dirhash.Hash1); err != nil || got != s.Hash {
		return "", errdef.New(errdef.ErrDataLoss, "the skill in the cache has been changed: %s", dir).
			WithRemedy("remove that directory and run again: it will be fetched anew")
	}
	return dir, nil
}

// fetch fills dir, or fails where the content is not what was pinned.
func (s Source) fetch(ctx context.Context, dir string) error {
	got, err := s.unpack(ctx, dir)
	if err != nil {
		return err
	}
	if got != s.Hash {
		return errdef.New(errdef.ErrDataLoss, "%s has the hash %s, and %s is pinned", s.URL, got, s.Hash).WithReason("hash_mismatch").
			WithRemedy("find out what has changed there, and only then write hash = %q", got)
	}
	return nil
}

// tell fetches a skill that has no hash yet, to say in its error which one it is. Nothing of the skill is used.
func (s Source) tell(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "voidbox-skill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	got, err := s.unpack(ctx, dir)
	if err != nil {
		return because(ctx, err)
	}
	return errdef.New(errdef.ErrInvalid, "no hash is pinned, so that whoever can change %s could instruct the agent", s.URL).
		WithReason("hash_missing").WithRemedy("look at what lies there; if you trust it, write hash = %q", got)
}

// unpack fills dir and returns its hash.
func (s Source) unpack(ctx context.Context, dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	t := &tree{root: root, subdir: s.Subdir}
	read := s.download
	if s.Git {
		read = s.clone
	}
	if err := read(ctx, t); err != nil {
		return "", err
	}
	if err := t.check(); err != nil {
		return "", err
	}
	return dirhash.HashDir(dir, "", dirhash.Hash1)
}

// because prefers the reason of the end of ctx to what broke because of it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return errdef.New(errdef.ErrUnavailable, "%w", cause)
	}
	return err
}
