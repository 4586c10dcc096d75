package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// KernelFileError says what is wrong with a kernel file.
type KernelFileError struct {
	Path string
	Err  error
}

func (e *KernelFileError) Error() string {
	return fmt.Sprintf("kernel %s: %v; name an x86-64 bzImage (as /boot/vmlinuz-* is) or vmlinux", e.Path, e.Err)
}

func (e *KernelFileError) Unwrap() error { return e.Err }

// inspectKernel checks the header of the kernel in path against the file and returns the kernel's release.
func inspectKernel(path string) (release string, err error) {
	f, err := os.Open(path)
	if err != nil {
		var wrapped *os.PathError
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return "", &KernelFileError{path, err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		release, err = checkKernel(f, info.Size())
	}
	if err != nil {
		return "", &KernelFileError{path, err}
	}
	return release, nil
}

// checkKernel tells the two formats apart. The file is the user's, and may be anything.
func checkKernel(r io.ReaderAt, size int64) (release string, err error) {
	head := make([]byte, 1024)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	head = head[:n]
	switch {
	case n == 0:
		return "", errors.New("the file is empty")
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return checkELF(r, head, size)
	case n > 0x206 && string(head[0x202:0x206]) == "HdrS":
		return checkBzImage(r, head, size)
	}
	return "", errors.New("not a kernel: neither a bzImage nor an ELF file")
}

// Offsets and values of the setup header, Documentation/x86/boot.rst.
const (
	setupSects     = 0x1f1
	setupSysSize   = 0x1f4
	setupBootFlag  = 0x1fe
	setupVersion   = 0x206
	setupKernelVer = 0x20e
	setupLoadFlags = 0x211
	setupXLoad     = 0x236
	setupEnd       = 0x268

	bootFlag        = 0xaa55
	minBootProtocol = 0x020c // the first with xloadflags (Linux 3.8)
	loadedHigh      = 1 << 0 // a bzImage, not a zImage
	xlfKernel64     = 1 << 0 // has the 64-bit entry point
)

func checkBzImage(r io.ReaderAt, head []byte, size int64) (string, error) {
	le := binary.LittleEndian
	if len(head) < setupEnd {
		return "", fmt.Errorf("truncated within the setup header: %d bytes", size)
	}
	if size > maxKernelBytes { // it is read whole, to be unpacked
		return "", fmt.Errorf("%d bytes long; no bzImage has more than %d", size, maxKernelBytes)
	}
	if flag := le.Uint16(head[setupBootFlag:]); flag != bootFlag {
		return "", fmt.Errorf("boot flag is %#04x instead of %#04x", flag, bootFlag)
	}
	if v := le.Uint16(head[setupVersion:]); v < minBootProtocol {
		return "", fmt.Errorf("boot protocol %d.%02d is too old, 2.12 is needed (Linux 3.8 or later)", v>>8, v&0xff)
	}
	if head[setupLoadFlags]&loadedHigh == 0 {
		return "", errors.New("a zImage, not a bzImage")
	}
	if le.Uint16(head[setupXLoad:])&xlfKernel64 == 0 {
		return "", errors.New("a 32-bit kernel; a 64-bit one is needed")
	}
	sects := int64(head[setupSects])
	if sects == 0 {
		sects = 4 // boot.rst: for backwards compatibility
	}
	setup := (sects + 1) * 512
	want := setup + int64(le.Uint32(head[setupSysSize:]))*16
	if size < want {
		return "", fmt.Errorf("truncated: %d bytes, its header says %d; copy or install it again", size, want)
	}
	return bzImageRelease(r, int64(le.Uint16(head[setupKernelVer:])), setup)
}

// bzImageRelease reads the version string that the header points to, "6.1.0-56-cloud-amd64 (builder) #1 SMP ...".
func bzImageRelease(r io.ReaderAt, pointer, setup int64) (string, error) {
	at := pointer + 0x200
	if pointer == 0 || at >= setup {
		return "", errors.New("the setup header names no kernel version")
	}
	text := make([]byte, min(256, setup-at))
	if _, err := r.ReadAt(text, at); err != nil && err != io.EOF {
		return "", err
	}
	return releaseWord(text)
}

// releaseWord returns the first word of text. A release becomes a part of paths, so that nothing but the letters
// of a release are let through.
func releaseWord(text []byte) (string, error) {
	word := text
	if end := bytes.IndexAny(text, " \x00"); end >= 0 {
		word = text[:end]
	}
	release := string(word)
	if release == "" || len(release) > 64 || release[0] < '0' || release[0] > '9' {
		return "", fmt.Errorf("no kernel release in %.40q", text)
	}
	for _, r := range release {
		if !strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_+~", r) {
			return "", fmt.Errorf("no kernel release in %.40q", text)
		}
	}
	return release, nil
}

// Offsets and values of ELF64 and of the notes that mark a PVH entry (xen/interface/elfnote.h).
const (
	elfHeaderSize  = 64
	elfProgSize    = 56
	elfMaxProgs    = 64
	elfMachineX86  = 62
	elfTypeExec    = 2
	elfTypeDyn     = 3
	progLoad       = 1
	progNote       = 4
	maxNotes       = 64 << 10
	notePhys32     = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	bannerChunk    = 1 << 20
	maxKernelBytes = 1 << 30
)

func checkELF(r io.ReaderAt, head []byte, size int64) (string, error) {
	le := binary.LittleEndian
	if len(head) < elfHeaderSize {
		return "", fmt.Errorf("truncated within the ELF header: %d bytes", size)
	}
	if head[4] != 2 || head[5] != 1 || le.Uint16(head[18:]) != elfMachineX86 {
		return "", errors.New("an ELF file, but not for x86-64")
	}
	if t := le.Uint16(head[16:]); t != elfTypeExec && t != elfTypeDyn {
		return "", errors.New("an ELF file, but not a linked kernel (a module or an object file?)")
	}
	count, entry := int(le.Uint16(head[56:])), le.Uint16(head[54:])
	if count == 0 || count > elfMaxProgs || entry != elfProgSize {
		return "", fmt.Errorf("its ELF header is damaged: %d program headers of %d bytes", count, entry)
	}
	offset := le.Uint64(head[32:])
	if offset > uint64(size) {
		return "", fmt.Errorf("truncated: %d bytes, its program headers are at %d; copy or build it again", size, offset)
	}
	table := make([]byte, count*elfProgSize)
	if _, err := r.ReadAt(table, int64(offset)); err != nil {
		return "", fmt.Errorf("truncated within the program headers: %d bytes; copy or build it again", size)
	}
	if err := checkSegments(r, table, size); err != nil {
		return "", err
	}
	return elfRelease(r, min(size, maxKernelBytes))
}

func checkSegments(r io.ReaderAt, table []byte, size int64) error {
	le := binary.LittleEndian
	loads, pvh := 0, false
	for ; len(table) > 0; table = table[elfProgSize:] {
		kind, offset, length := le.Uint32(table), le.Uint64(table[8:]), le.Uint64(table[32:])
		if kind != progLoad && kind != progNote {
			continue
		}
		if length > math.MaxInt64 || offset > uint64(size) || length > uint64(size)-offset {
			return fmt.Errorf("truncated: %d bytes, a segment of %d bytes begins at %d; copy or build it again", size, length, offset)
		}
		if kind == progLoad {
			loads++
			continue
		}
		notes := make([]byte, min(length, maxNotes))
		if _, err := r.ReadAt(notes, int64(offset)); err != nil && err != io.EOF {
			return err
		}
		pvh = pvh || hasPVHNote(notes)
	}
	if loads == 0 {
		return errors.New("an ELF file that loads nothing")
	}
	if !pvh {
		return errors.New("an ELF file without a PVH entry: build the kernel with CONFIG_PVH=y, or use its bzImage")
	}
	return nil
}

func hasPVHNote(notes []byte) bool {
	le := binary.LittleEndian
	for len(notes) >= 12 {
		nameLen, descLen, kind := uint64(le.Uint32(notes)), uint64(le.Uint32(notes[4:])), le.Uint32(notes[8:])
		body := notes[12:]
		nameRoom, descRoom := (nameLen+3)&^3, (descLen+3)&^3
		if nameRoom+descRoom > uint64(len(body)) {
			return false
		}
		if kind == notePhys32 && string(body[:nameLen]) == "Xen\x00" {
			return true
		}
		notes = body[nameRoom+descRoom:]
	}
	return false
}

// elfRelease looks for the kernel's banner, "Linux version 6.1.192 (builder) ...". A kernel's symbols may be
// stripped; its banner is always there, since /proc/version prints it.
func elfRelease(r io.ReaderAt, size int64) (string, error) {
	banner := []byte("Linux version ")
	const overlap = 128 // a banner and its release may lie across two chunks
	buf := make([]byte, bannerChunk+overlap)
	for at := int64(0); at < size; at += bannerChunk {
		n, err := r.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return "", err
		}
		for rest := buf[:n]; ; {
			i := bytes.Index(rest, banner)
			if i < 0 {
				break
			}
			rest = rest[i+len(banner):]
			if release, err := releaseWord(rest[:min(len(rest), 65)]); err == nil {
				return release, nil
			}
		}
	}
	return "", errors.New("an ELF file, but not a Linux kernel: no version banner in it")
}
