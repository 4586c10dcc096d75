package shim

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/overlay"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Store is the directory of a user's named sandboxes. It may be used by many processes at once.
type Store struct{ dir string }

// Sandbox is one of a store.
type Sandbox struct {
	Definition
	Instance Instance
	// Broken says why its documents cannot be read; only Name is set then.
	Broken error

	dir string
}

// Overlays is the directory of what the sandbox has written to mounts of mode overlay.
func (b *Sandbox) Overlays() string { return filepath.Join(b.dir, overlay.DirName) }

// DefaultDir is where named sandboxes are: $XDG_STATE_HOME/voidbox/sandboxes, or below ~/.local/state.
func DefaultDir() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find a place for sandboxes (set XDG_STATE_HOME): %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "voidbox", "sandboxes"), nil
}

// OpenStore opens the store in dir; empty means DefaultDir.
func OpenStore(dir string) (*Store, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of sandboxes: %w", err)
	}
	return &Store{dir: dir}, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Get returns a sandbox. One whose shim was killed is tidied up first, and Dead.
func (s *Store) Get(name string) (*Sandbox, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	b := &Sandbox{Definition: Definition{Name: name}, dir: s.path(name)}
	err := readDocument(b.dir, definitionFile, &b.Definition)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.missing(name)
	}
	if err == nil && b.Name != name {
		err = errdef.New(errdef.ErrDataLoss, "%s is the directory of a sandbox that is called %.80q", b.dir, b.Name)
	}
	if err != nil {
		return nil, err
	}
	if b.Instance, err = readInstance(b.dir); err != nil {
		return nil, err
	}
	if b.Instance.State.alive() {
		err = b.recover()
	}
	return b, err
}

func (s *Store) missing(name string) error {
	err := errdef.New(errdef.ErrNotFound, "there is no sandbox %q", name).WithReason("no_sandbox")
	if names, _ := s.names(); len(names) > 0 {
		return err.WithRemedy("there are: %s", strings.Join(names, ", "))
	}
	return err.WithRemedy("make one: voidbox sandbox create %s", name)
}

// recover looks whether the shim of a sandbox that should be alive is. If not, it removes what was left, and notes it.
func (b *Sandbox) recover() error {
	lock, err := tryLock(b.dir)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if b.Instance, err = readInstance(b.dir); err != nil || !b.Instance.State.alive() {
		return err // it ended in between, in order
	}
	removeRuntimeDir(b.Instance.RuntimeDir)
	b.Instance = Instance{
		Version: Version, State: Dead, Backend: b.Instance.Backend, Image: b.Instance.Image, CPUs: b.Instance.CPUs,
		MemoryBytes: b.Instance.MemoryBytes, Started: b.Instance.Started, Main: b.Instance.Main,
		Error: fmt.Sprintf("the process that held it (%d) was killed", b.Instance.PID),
	}
	return writeDocument(b.dir, instanceFile, b.Instance)
}

// List returns all sandboxes by name, those that cannot be read too.
func (s *Store) List() ([]*Sandbox, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var list []*Sandbox
	for _, name := range names {
		b, err := s.Get(name)
		switch {
		case errors.Is(err, errdef.ErrNotFound):
			continue // it was removed meanwhile
		case err != nil:
			b = &Sandbox{Definition: Definition{Name: name}, Broken: err, dir: s.path(name)}
		}
		list = append(list, b)
	}
	return list, nil
}

func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Prefixes of directories that are not whole yet, or any more. No sandbox can be called so.
const (
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
)

// staleAfter is when a directory that is not whole has been left by somebody who was killed.
const staleAfter = time.Hour

// sweep removes what was left by those who were killed. It is a courtesy: failures are ignored.
func (s *Store) sweep() {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && (strings.HasPrefix(e.Name(), newPrefix) || strings.HasPrefix(e.Name(), gonePrefix)) && time.Since(info.ModTime()) > staleAfter {
			os.RemoveAll(s.path(e.Name()))
		}
	}
}

// Create makes the directory of a new sandbox, and holds it. Nothing runs yet.
func (s *Store) Create(d Definition) (*Claim, error) {
	d.Version = Version
	if err := d.Check(); err != nil {
		return nil, err
	}
	s.sweep()
	// Made under a name that nobody looks at, and renamed once it is whole and locked.
	fresh, err := os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return nil, fmt.Errorf("make sandbox %s: %w", d.Name, err)
	}
	claim, err := s.fill(fresh, d)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make sandbox %s: %w", d.Name, err), os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, claim.dir); err != nil {
		claim.Release()
		os.RemoveAll(fresh)
		if errors.Is(err, fs.ErrExist) {
			return nil, errdef.New(errdef.ErrExists, "there is a sandbox %q already", d.Name).
				WithRemedy("remove it first: voidbox sandbox remove --force %s; or start it: voidbox sandbox start %s", d.Name, d.Name)
		}
		return nil, fmt.Errorf("make sandbox %s: %w", d.Name, err)
	}
	return claim, nil
}

func (s *Store) fill(dir string, d Definition) (*Claim, error) {
	if err := writeDocument(dir, definitionFile, d); err != nil {
		return nil, err
	}
	lock, err := tryLock(dir)
	if err != nil {
		return nil, err
	}
	return &Claim{Definition: d, dir: s.path(d.Name), lock: lock, fresh: true}, nil
}

// Claim holds a sandbox that does not run, so that nobody else starts or removes it.
func (s *Store) Claim(name string) (*Claim, error) {
	b, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	lock, err := waitLock(b.dir)
	if errors.Is(err, errLocked) {
		return nil, errdef.New(errdef.ErrState, "sandbox %s is %s", name, b.Instance.State).WithReason("running")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.missing(name)
	}
	if err != nil {
		return nil, err
	}
	return &Claim{Definition: b.Definition, dir: b.dir, lock: lock}, nil
}

// Remove removes a sandbox that does not run, a broken one too.
func (s *Store) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	dir := s.path(name)
	lock, err := waitLock(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.missing(name)
	case errors.Is(err, errLocked):
		return errdef.New(errdef.ErrState, "sandbox %s is running", name).WithReason("running").
			WithRemedy("stop it first: voidbox sandbox stop %s; or remove it with --force", name)
	case err != nil:
		return err
	}
	defer lock.Close()
	if i, err := readInstance(dir); err == nil && i.State.alive() {
		removeRuntimeDir(i.RuntimeDir)
	}
	return discard(dir)
}

// discard takes a directory out of the list before it is emptied, so that nobody meets half of it.
func discard(dir string) error {
	gone := filepath.Join(filepath.Dir(dir), gonePrefix+rand.Text())
	if err := os.Rename(dir, gone); err != nil {
		return err
	}
	return overlay.RemoveAll(gone)
}

// Claim is a sandbox that is held by its lock.
type Claim struct {
	Definition
	dir   string
	lock  *os.File
	fresh bool // it was just made
}

// Release lets go of it, unless a shim has taken it over.
func (c *Claim) Release() { c.lock.Close() }

// Discard removes it.
func (c *Claim) Discard() error {
	defer c.Release()
	return discard(c.dir)
}
