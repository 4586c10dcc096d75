package boot

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func invalid(format string, args ...any) *errdef.Error {
	return errdef.New(errdef.ErrInvalid, format, args...)
}

// about says which file err is about and keeps its kind and remedy.
func about(what, path string, err error) error {
	kind := errdef.ErrUnavailable // the file is there, but reading it fails
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = errdef.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		kind = errdef.ErrPermission
	}
	named := errdef.New(kind, "%s %s: %w", what, path, err)
	var typed *errdef.Error
	if errors.As(err, &typed) {
		named.Kind, named.Reason, named.Remedy = typed.Kind, typed.Reason, typed.Remedy
	}
	return named
}

const mib = 1 << 20

// tooSmall says that the VM's memory ends before address need.
func (l *loader) tooSmall(what string, need uint64) error {
	needed := (need + mib - 1) / mib
	return invalid("%s needs %d MiB of memory, the VM has %d MiB", what, needed, l.end/mib).
		WithReason("memory_too_small").WithRemedy("give the VM at least %d MiB of memory", needed)
}

func truncated(size int64, need uint64) error {
	return invalid("it is truncated: it has %d bytes, its header promises %d", size, need).
		WithReason("kernel_truncated").WithRemedy("copy, install or build the kernel again")
}

func damaged(format string, args ...any) error {
	return invalid("its header is damaged: "+format, args...).WithReason("kernel_damaged").
		WithRemedy("copy, install or build the kernel again")
}

const (
	notKernel  = "not_a_kernel"
	nameKernel = "name an x86-64 bzImage (as /boot/vmlinuz-* is) or vmlinux"
)

// foreign says what a file is that is no kernel for this machine.
func foreign(head []byte) error {
	at := func(offset int, magic string) bool {
		return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(magic))
	}
	what := "it is not a kernel: neither an ELF vmlinux nor a bzImage"
	switch {
	case len(head) == 0:
		what = "the file is empty"
	case at(56, "ARM\x64"): // Documentation/arch/arm64/booting.rst
		what = "it is a kernel for arm64"
	case at(56, "RSC\x05"): // Documentation/arch/riscv/boot-image-header.rst
		what = "it is a kernel for RISC-V"
	case at(4, "zimg"): // the EFI stub's self-extracting format, which x86 does not use
		what = "it is an EFI zboot image, a kernel for another architecture"
	case at(0, "\x1f\x8b"), at(0, "\x28\xb5\x2f\xfd"), at(0, "\xfd7zXZ\x00"), at(0, "\x02\x21\x4c\x18"), at(0, "BZh"):
		return invalid("it is a compressed file, not a kernel").WithReason(notKernel).WithRemedy("unpack it first")
	}
	return invalid("%s", what).WithReason(notKernel).WithRemedy(nameKernel)
}
