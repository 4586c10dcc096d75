package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Mount is one mount of a sandbox, and what was written to it.
type Mount struct {
	Sandbox string `json:"sandbox"`
	Target  string `json:"target"` // in the guest
	Source  string `json:"source"` // on the host
	Upper   string `json:"-"`
}

// DirName is what the directory of overlays is called in that of a run or a named sandbox.
const DirName = "overlays"

const (
	mountFile = "mount.json"
	upperDir  = "upper"
	lockFile  = "lock"
	private   = 0o700
)

// Prepare makes the place of a sandbox's mount number n below dir, or finds the one that is there, and returns the upper
// directory.
func Prepare(dir string, n int, m Mount) (upper string, err error) {
	at := filepath.Join(dir, m.Sandbox, strconv.Itoa(n))
	old, err := load(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case old.Source != m.Source || old.Target != m.Target:
		return "", errdef.New(errdef.ErrState, "what was written to %s is a change of %s, which is not what is mounted at %s now", old.Target, old.Source, m.Target).
			WithRemedy("apply or discard it first")
	}
	upper = filepath.Join(at, upperDir)
	if err := os.MkdirAll(upper, private); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	if info, err := os.Stat(m.Source); err == nil {
		// The guest sees the upper directory's owner and mode as those of the mount.
		if err := os.Chmod(upper, info.Mode().Perm()|private); err != nil {
			return "", fmt.Errorf("overlay: %w", err)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(at, mountFile), text, 0o600); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	return upper, nil
}

// Load returns the mounts below dir; none where there is no such directory.
func Load(dir string) ([]Mount, error) {
	places, err := filepath.Glob(filepath.Join(escape(dir), "*", "*", mountFile))
	if err != nil {
		return nil, err
	}
	slices.Sort(places)
	var mounts []Mount
	for _, place := range places {
		m, err := load(filepath.Dir(place))
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// escape makes a path a pattern that only it matches.
func escape(path string) string {
	var b []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}

func load(at string) (Mount, error) {
	text, err := os.ReadFile(filepath.Join(at, mountFile))
	if err != nil {
		return Mount{}, err
	}
	m := Mount{}
	if err := json.Unmarshal(text, &m); err != nil {
		return Mount{}, errdef.New(errdef.ErrDataLoss, "overlay %s: %w", at, err)
	}
	m.Upper = filepath.Join(at, upperDir)
	return m, nil
}

// Discard removes all that was written. It refuses while a sandbox uses it.
func Discard(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	release, err := lock(dir, true)
	if err != nil {
		return err
	}
	defer release()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockFile {
			continue
		}
		if err := RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("discard: %w", err)
		}
	}
	return nil
}

// RemoveAll removes a tree in which a guest may have taken permissions away from its directories.
func RemoveAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, private)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// Hold keeps others from discarding what a sandbox uses, until release is called.
func Hold(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, private); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	return lock(dir, false)
}

var errBusy = errdef.New(errdef.ErrState, "the sandbox is running").WithRemedy("stop it first: voidbox sandbox stop NAME, or voidbox cancel RUN")
