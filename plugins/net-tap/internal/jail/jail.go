//go:build linux

package jail

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/capability"
)

// cleanUp is what may be done in the directory of our own socket.
const cleanUp = landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR)

// Process confines every thread of this process, for good. dir is the directory of its own socket.
func Process(dir string) error {
	os.Clearenv()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"limit resources", limitResources},
		{"hide from other processes", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }},
		{"drop capabilities", capability.Drop},
		{"forbid new privileges", func() error { return ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	landlocked, err := restrictFiles(dir)
	if err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	if err := restrictCalls(landlocked); err != nil {
		return fmt.Errorf("restrict system calls: %w", err)
	}
	return nil
}

// restrictFiles leaves the process nothing of the file system but dir, and no network of Landlock's, and tells whether this kernel can
// do that.
func restrictFiles(dir string) (bool, error) {
	if _, err := ll.LandlockGetABIVersion(); err != nil {
		return false, nil
	}
	return true, landlock.V5.BestEffort().Restrict(landlock.PathAccess(cleanUp, dir).IgnoreIfMissing())
}

// maxFiles is room for queues, the host's connections and two links of the most lanes.
const maxFiles = 2048

func limitResources() error {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	most := min(files.Max, maxFiles)
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Setrlimit(unix.RLIMIT_MSGQUEUE, &unix.Rlimit{}),
	)
}
