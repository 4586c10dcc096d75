package kvm

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// request is the number of an ioctl. Its name is what errors show.
type request struct {
	number uintptr
	name   string
}

// The directions of an ioctl number, seen from the program: it writes what the kernel reads.
const (
	dirNone  = 0
	dirWrite = 1
	dirRead  = 2

	kvmIO = 0xae // the type byte of all of KVM's requests
)

// number computes an ioctl number as asm-generic/ioctl.h does: direction, size of the argument, type, number.
func number(dir, nr, size uintptr) uintptr { return dir<<30 | size<<16 | kvmIO<<8 | nr }

func ioNone(nr uintptr, name string) request { return request{number(dirNone, nr, 0), name} }

// iow, ior and iowr are for arguments of type T. Structures that end in an array of any length count without it.
func iow[T any](nr uintptr, name string) request {
	return request{number(dirWrite, nr, size[T]()), name}
}
func ior[T any](nr uintptr, name string) request {
	return request{number(dirRead, nr, size[T]()), name}
}
func iowr[T any](nr uintptr, name string) request {
	return request{number(dirRead|dirWrite, nr, size[T]()), name}
}

func size[T any]() uintptr { return unsafe.Sizeof(*new(T)) }

// ioctlInt makes a request whose argument is a number.
func ioctlInt(fd int, req request, arg uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req.number, arg)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("%s: %w", req.name, errno)
		}
	}
}

// ioctl makes a request whose argument is a structure. T must be the structure that the request is defined for, or one that
// begins with it and has room for all that the kernel may write.
func ioctl[T any](fd int, req request, arg *T) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req.number, uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("%s: %w", req.name, errno)
		}
	}
}

// ioctlCount is ioctl for requests that return how many entries they handled.
func ioctlCount[T any](fd int, req request, arg *T) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req.number, uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("%s: %w", req.name, errno)
		}
	}
}

// run makes KVM_RUN, once. syscall.Syscall tells the scheduler that the thread may be gone for long; RawSyscall would not, and the
// scheduler would interrupt the guest all the time to get its thread back.
func run(fd int) syscall.Errno {
	_, _, errno := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), kvmRun.number, 0)
	return errno
}

// address returns where b starts in this process: what KVM calls a userspace address. b must be mapped memory, not the Go heap.
func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// word returns the aligned 32-bit word at the beginning of b, which has at least four bytes and starts at a multiple of 4.
func word(b []byte) *uint32 { return (*uint32)(unsafe.Pointer(unsafe.SliceData(b))) }
