//go:build linux

package confine

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/capability"
)

// Grants are what a confined process keeps.
type Grants struct {
	// Dirs are the directories of its own sockets, which it may list and remove.
	Dirs []string
	// Files bounds its descriptors.
	Files uint64
	// TCP lets it listen and connect.
	TCP bool
	// Paths are what else it may do with files.
	Paths []landlock.Rule
}

// cleanUp is what may be done in the directories of our own sockets.
const cleanUp = landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR)

// Process confines every thread of this process. restrictCalls comes last; it is told whether Landlock watches over files, since
// where it does not, the filter has to.
func Process(g Grants, restrictCalls func(landlocked bool) error) error {
	os.Clearenv()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"limit resources", func() error { return limitResources(g.Files) }},
		{"hide from other processes", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }},
		{"drop capabilities", capability.Drop},
		{"forbid new privileges", func() error { return ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	landlocked, err := restrictFiles(g)
	if err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	if err := restrictCalls(landlocked); err != nil {
		return fmt.Errorf("restrict system calls: %w", err)
	}
	return nil
}

// restrictFiles tells whether this kernel has Landlock. It takes version 5 of the ABI, or what the kernel has of it: later versions
// would forbid connecting to unix sockets by path, which is how vsock, links and services are reached.
func restrictFiles(g Grants) (bool, error) {
	if _, err := ll.LandlockGetABIVersion(); err != nil {
		return false, nil
	}
	restrict := landlock.V5.BestEffort().Restrict
	if g.TCP {
		restrict = landlock.V5.BestEffort().RestrictPaths
	}
	return true, restrict(append(g.Paths[:len(g.Paths):len(g.Paths)], landlock.PathAccess(cleanUp, g.Dirs...).IgnoreIfMissing())...)
}

func limitResources(maxFiles uint64) error {
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
