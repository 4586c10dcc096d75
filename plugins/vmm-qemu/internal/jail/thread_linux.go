package jail

import (
	"errors"
	"fmt"
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Files are what a program may open.
type Files struct {
	Read  []string // files and directory trees to read and execute; a missing one is left out
	Write []string // files to read and write
}

// Rights on files, in the words of linux/landlock.h.
const (
	readTree  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fileOnly  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	writeFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// Thread confines the calling thread, which the caller has locked, and every program that is executed from it.
func Thread(files Files) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	if err := restrictFiles(files); err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	if err := seccomp.LoadFilter(seccomp.Filter{Policy: childPolicy()}); err != nil {
		return fmt.Errorf("restrict system calls: %w", err)
	}
	return nil
}

// handledRights lists the rights on files that a kernel knows, by the version of its Landlock ABI. Later ones add rights that
// we do not need to take away.
func handledRights(abi int) uint64 {
	rights := uint64(unix.LANDLOCK_ACCESS_FS_REFER - 1) // ABI 1: all bits below
	if abi >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		rights |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return rights
}

// restrictFiles puts the calling thread alone into a Landlock domain; the package landlock can only confine all threads.
func restrictFiles(files Files) error {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return nil // this kernel has none
	}
	attr := ll.RulesetAttr{HandledAccessFS: handledRights(abi)}
	ruleset, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ruleset)
	for _, path := range files.Read {
		if err := allow(ruleset, path, readTree&attr.HandledAccessFS); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, path := range files.Write {
		if err := allow(ruleset, path, writeFile&attr.HandledAccessFS); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return ll.LandlockRestrictSelf(ruleset, 0)
}

func allow(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileOnly
	}
	rule := ll.PathBeneathAttr{AllowedAccess: rights, ParentFd: fd}
	if err := ll.LandlockAddPathBeneathRule(ruleset, &rule, 0); err != nil {
		return &os.PathError{Op: "allow", Path: path, Err: err}
	}
	return nil
}

// DoorName is the length of the names of the abstract sockets that a confined program may connect to. A filter sees how long an
// address is and not what it says, and no socket has a path as short as this.
const DoorName = 4

// doorLength is that of the whole address: its family, a zero, the name.
const doorLength = 2 + 1 + DoorName

// childPolicy forbids what no emulator with inherited connections needs. It is a list of denials, since QEMU's own filter is
// the list of what it may do, and since the calling thread of ours goes on for a while.
func childPolicy() seccomp.Policy {
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{{
			Action: seccomp.ActionErrno,
			Names: known(
				"ptrace", "process_vm_readv", "process_vm_writev", "bpf", "perf_event_open", "userfaultfd",
				"io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key",
				"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount", "unshare", "setns",
				"init_module", "finit_module", "kexec_load", "kexec_file_load", "open_by_handle_at", "reboot",
			),
			NamesWithCondtions: []seccomp.NameWithConditions{
				when("socket", 0, seccomp.NotEqual, unix.AF_UNIX),
				when("connect", 2, seccomp.NotEqual, doorLength),
			},
		}},
	}
}
