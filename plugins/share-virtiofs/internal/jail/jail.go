//go:build linux

package jail

import (
	"fmt"
	"os"
	"strconv"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/capability"
)

// Grants are what a confined process keeps.
type Grants struct {
	// Sockets are the directories of its own sockets, which it may list and remove.
	Sockets []string
	// Read and Write are descriptors of O_PATH: what lies below may be read, and changed.
	Read, Write []int
}

const (
	cleanUp = landlock.AccessFSSet(ll.AccessFSReadDir | ll.AccessFSRemoveFile | ll.AccessFSRemoveDir)

	readFile = landlock.AccessFSSet(ll.AccessFSReadFile)
	readDir  = readFile | landlock.AccessFSSet(ll.AccessFSReadDir)

	writeFile = readFile | landlock.AccessFSSet(ll.AccessFSWriteFile|ll.AccessFSTruncate)
	writeDir  = readDir | writeFile | landlock.AccessFSSet(ll.AccessFSRemoveFile|ll.AccessFSRemoveDir|ll.AccessFSMakeDir|
		ll.AccessFSMakeReg|ll.AccessFSMakeSym|ll.AccessFSRefer)
)

// Process confines every thread of this process, for good.
func Process(g Grants) error {
	os.Clearenv()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"forbid core dumps", func() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }},
		{"hide from other processes", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }},
		{"drop capabilities", capability.Drop},
		{"forbid new privileges", func() error { return ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"restrict files", func() error { return restrictFiles(g) }},
		{"restrict system calls", restrictCalls},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// restrictFiles leaves the process what was granted, as far as this kernel has Landlock.
func restrictFiles(g Grants) error {
	if _, err := ll.LandlockGetABIVersion(); err != nil {
		return nil
	}
	rules := []landlock.Rule{landlock.PathAccess(cleanUp, g.Sockets...).IgnoreIfMissing()}
	for _, grant := range []struct {
		fds       []int
		file, dir landlock.AccessFSSet
	}{{g.Read, readFile, readDir}, {g.Write, writeFile, writeDir}} {
		for _, fd := range grant.fds {
			access := grant.file
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				return err
			}
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				access = grant.dir
			}
			rules = append(rules, landlock.PathAccess(access, "/proc/self/fd/"+strconv.Itoa(fd)))
		}
	}
	return landlock.V5.BestEffort().RestrictPaths(rules...)
}
