package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxSocketPath is what fits into sun_path with its terminating zero; Linux has 108 bytes, Darwin 104. Past it, bind fails
// with "invalid argument", which tells nobody anything.
const maxSocketPath = 103

// socketRoom is what go-plugin adds below an instance's directory: /plugin-dirNNNNNNNNNN/pluginNNNNNNNNNN.
const socketRoom = len("/plugin-dir4294967295/plugin4294967295")

// instanceRoom is what a host adds below the parent: /voidbox-host-NNNNNNNNNN/NNN.
const instanceRoom = len("/" + runtimePrefix + "4294967295/999")

// runtimePrefix must be nobody else's: a directory of that name whose lock is free is taken for a dead host's.
const runtimePrefix = "voidbox-host-"

// runtimeDir is the private directory of one host. Its lock is held as long as the host lives, so that another host can tell
// a directory in use from one whose host was killed.
type runtimeDir struct {
	path string
	held *os.File
}

func newRuntimeDir(parent string) (*runtimeDir, error) {
	if parent == "" {
		parent = defaultRuntimeParent()
	}
	parent, err := filepath.Abs(parent)
	if err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	if n := len(parent) + instanceRoom + socketRoom; n > maxSocketPath {
		return nil, errdef.New(errdef.ErrInvalid,
			"runtime directory %s is too long: sockets below it would need %d bytes, and the system allows %d", parent, n, maxSocketPath).
			WithReason("plugin_socket_path").
			WithRemedy("choose a directory of at most %d bytes, such as /tmp", maxSocketPath-instanceRoom-socketRoom)
	}
	collectStale(parent)
	// Made under a name that collectStale ignores, and renamed once the lock is held.
	fresh, err := os.MkdirTemp(parent, "new-"+runtimePrefix)
	if err != nil {
		return nil, fmt.Errorf("make the runtime directory: %w", err)
	}
	held, err := lockDir(fresh)
	if err != nil {
		os.Remove(fresh)
		return nil, fmt.Errorf("lock the runtime directory: %w", err)
	}
	path := filepath.Join(parent, strings.TrimPrefix(filepath.Base(fresh), "new-"))
	if err := os.Rename(fresh, path); err != nil {
		held.Close()
		os.Remove(fresh)
		return nil, fmt.Errorf("name the runtime directory: %w", err)
	}
	return &runtimeDir{path: path, held: held}, nil
}

// defaultRuntimeParent prefers the user's own directory, if sockets below it are short enough.
func defaultRuntimeParent() string {
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()} {
		if filepath.IsAbs(dir) && len(dir)+instanceRoom+socketRoom <= maxSocketPath && unix.Access(dir, unix.W_OK) == nil {
			return dir
		}
	}
	return "/tmp"
}

// lockDir opens a directory and locks it without waiting.
func lockDir(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// collectStale removes the directories of hosts that were killed before they could. It is a courtesy: failures are ignored.
func collectStale(parent string) {
	entries, err := filepath.Glob(filepath.Join(parent, runtimePrefix+"[0-9]*"))
	if err != nil {
		return
	}
	for _, path := range entries {
		if !ownPrivateDir(path) {
			continue
		}
		dir, err := lockDir(path)
		if err != nil {
			continue
		}
		os.RemoveAll(path)
		dir.Close()
	}
}

// ownPrivateDir tells whether path is a directory that nobody but this user can have made or written.
func ownPrivateDir(path string) bool {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return false
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o777 == 0o700 && int(st.Uid) == os.Geteuid()
}

func (d *runtimeDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.held.Close())
}
