package pluginhost

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func identify(path string, st *unix.Stat_t) fileID {
	return fileID{
		Path: path, Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size,
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}
}

// firstImageFD keeps sealed copies away from the descriptors that a child rearranges before it executes one of them.
const firstImageFD = 100

// seal copies content into memory that the kernel lets nobody change any more, and returns a path to execute it by. Hashing a
// file and then executing its path would leave a gap in which either can be swapped.
func seal(_, name string, content io.Reader) (*os.File, string, error) {
	// A child that another goroutine forks meanwhile would hold the writable descriptor until it executes its program, and
	// the kernel refuses to execute what somebody may write.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, "", fmt.Errorf("memfd_create: %w", err)
	}
	writable := os.NewFile(uintptr(fd), name)
	defer writable.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{writable}, content, make([]byte, 1<<20)); err != nil {
		return nil, "", err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, "", fmt.Errorf("seal: %w", err)
	}
	readonly, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", fmt.Errorf("reopen: %w", err)
	}
	defer unix.Close(readonly)
	high, err := unix.FcntlInt(uintptr(readonly), unix.F_DUPFD_CLOEXEC, firstImageFD)
	if err != nil {
		return nil, "", fmt.Errorf("duplicate: %w", err)
	}
	// "self" is whoever looks: the child, right before it executes.
	return os.NewFile(uintptr(high), name), fmt.Sprintf("/proc/self/fd/%d", high), nil
}
