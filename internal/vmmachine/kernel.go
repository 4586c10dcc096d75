package vmmachine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Header of a bzImage: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
const (
	setupSectsAt = 0x1f1
	sysSizeAt    = 0x1f4 // in units of 16 bytes
	magicAt      = 0x202
	magic        = "HdrS"
	headerEnd    = 0x206
)

// arm64MagicAt is the place of "ARM\x64" in an arm64 Image: Linux Documentation/arch/arm64/booting.rst.
const arm64MagicAt, arm64Magic = 56, "ARMd"

func checkKernel(m vmm.Machine, _ Limits) error {
	f, err := os.Open(m.KernelPath)
	if err != nil {
		return fileError("kernel", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fileError("kernel", err)
	}
	if !info.Mode().IsRegular() {
		return invalid("kernel %s is not a regular file", m.KernelPath)
	}
	need, err := imageSize(f)
	if err != nil {
		return invalid("kernel %s: %w", m.KernelPath, err)
	}
	if uint64(info.Size()) < need {
		return invalid("kernel %s is truncated: it has %d bytes, its header promises %d", m.KernelPath, info.Size(), need).
			WithRemedy("fetch or build the kernel again")
	}
	return nil
}

// imageSize returns how many bytes the image needs to have by its own header.
func imageSize(f *os.File) (uint64, error) {
	head := make([]byte, headerEnd)
	n, err := f.ReadAt(head, 0)
	if n < len(head) {
		return 0, fmt.Errorf("too short for a kernel: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return elfSize(f)
	case string(head[magicAt:headerEnd]) == magic:
		if runtime.GOARCH != "amd64" {
			return 0, fmt.Errorf("a bzImage is for x86_64, and this machine is %s", runtime.GOARCH)
		}
		setup := uint64(head[setupSectsAt])
		if setup == 0 {
			setup = 4 // by the header's definition
		}
		return (setup+1)*512 + uint64(binary.LittleEndian.Uint32(head[sysSizeAt:]))*16, nil
	case string(head[arm64MagicAt:arm64MagicAt+4]) == arm64Magic:
		if runtime.GOARCH != "arm64" {
			return 0, fmt.Errorf("an arm64 Image, and this machine is %s", runtime.GOARCH)
		}
		return headerEnd, nil
	}
	return 0, errors.New("neither an ELF vmlinux nor a bzImage")
}

// machines are the names of architectures in ELF files.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

func elfSize(f *os.File) (uint64, error) {
	image, err := elf.NewFile(f)
	if err != nil {
		return 0, fmt.Errorf("a broken ELF file, perhaps truncated: %w", err)
	}
	if want, known := machines[runtime.GOARCH]; known && image.Machine != want {
		return 0, fmt.Errorf("an ELF file for %v, and this machine is %v", image.Machine, want)
	}
	var need uint64
	for _, p := range image.Progs {
		if p.Off+p.Filesz < p.Off {
			return 0, errors.New("a broken ELF file: a segment's size overflows")
		}
		need = max(need, p.Off+p.Filesz)
	}
	if need == 0 {
		return 0, errors.New("an ELF file without segments to load")
	}
	return need, nil
}

func fileError(what string, err error) error {
	kind := errdef.ErrInvalid
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = errdef.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		kind = errdef.ErrPermission
	}
	return errdef.New(kind, "%s: %w", what, err)
}
