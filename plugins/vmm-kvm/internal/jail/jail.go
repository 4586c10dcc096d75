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

// Grants are what a confined process keeps.
type Grants struct {
	// Dirs are the directories of its own sockets, which it may list and remove.
	Dirs []string
	// Requests are the ioctls that it still makes.
	Requests []uint32
	// Sockets are the address families that it still makes sockets of, beside AF_UNIX.
	Sockets []uint32
}

// cleanUp is what may be done in the directories of our own sockets.
const cleanUp = landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR)

// Process confines every thread of this process, for good.
func Process(g Grants) error {
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
	landlocked, err := restrictFiles(g.Dirs)
	if err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	if err := processFilter(landlocked, g).InstallProcess(); err != nil {
		return fmt.Errorf("restrict system calls: %w", err)
	}
	return nil
}

// VCPU narrows the calling thread, which the caller has locked and never unlocks, to running a vCPU. requests are the ioctls that
// this takes.
func VCPU(requests []uint32) error {
	if err := vcpuFilter(requests).InstallThread(); err != nil {
		return fmt.Errorf("restrict the system calls of a vCPU: %w", err)
	}
	return nil
}

// restrictFiles leaves the process nothing of the file system but dirs, and tells whether this kernel can do that. It takes
// version 5 of the ABI, or what the kernel has of it: TCP is forbidden with the files, and later versions would forbid connecting
// to unix sockets by path, which is what vsock and links do.
func restrictFiles(dirs []string) (bool, error) {
	if _, err := ll.LandlockGetABIVersion(); err != nil {
		return false, nil
	}
	return true, landlock.V5.BestEffort().Restrict(landlock.PathAccess(cleanUp, dirs...).IgnoreIfMissing())
}

// maxFiles is room for what is open, and for as many connections as the vsock device admits.
const maxFiles = 4096 + 1024

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
