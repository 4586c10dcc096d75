//go:build linux

package jail

import (
	"strconv"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/confine"
)

// Grants are what a confined process keeps.
type Grants struct {
	// Sockets are the directories of its own sockets, which it may list and remove.
	Sockets []string
	// Read and Write are descriptors of O_PATH: what lies below may be read, and changed.
	Read, Write []int
	// Files bounds its descriptors.
	Files uint64
}

const (
	readFile = landlock.AccessFSSet(ll.AccessFSReadFile)
	readDir  = readFile | landlock.AccessFSSet(ll.AccessFSReadDir)

	writeFile = readFile | landlock.AccessFSSet(ll.AccessFSWriteFile|ll.AccessFSTruncate)
	writeDir  = readDir | writeFile | landlock.AccessFSSet(ll.AccessFSRemoveFile|ll.AccessFSRemoveDir|ll.AccessFSMakeDir|
		ll.AccessFSMakeReg|ll.AccessFSMakeSym|ll.AccessFSRefer)
)

// Process confines every thread of this process, for good.
func Process(g Grants) error {
	paths, err := g.paths()
	if err != nil {
		return err
	}
	return confine.Process(confine.Grants{Dirs: g.Sockets, Files: g.Files, Paths: paths}, restrictCalls)
}

// paths are the mounts, each by the descriptor that was opened, wherever its path leads by now.
func (g Grants) paths() ([]landlock.Rule, error) {
	var rules []landlock.Rule
	for _, grant := range []struct {
		fds       []int
		file, dir landlock.AccessFSSet
	}{{g.Read, readFile, readDir}, {g.Write, writeFile, writeDir}} {
		for _, fd := range grant.fds {
			access := grant.file
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				return nil, err
			}
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				access = grant.dir
			}
			rules = append(rules, landlock.PathAccess(access, "/proc/self/fd/"+strconv.Itoa(fd)))
		}
	}
	return rules, nil
}
