package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/xi2/xz"
)

// Where a bzImage keeps its compressed kernel, relative to the end of its setup sectors (boot.rst, since 2.08).
const (
	setupPayloadOffset = 0x248
	setupPayloadLength = 0x24c
)

// unpackKernel returns the vmlinux inside the bzImage at path, unpacked once and kept by hash: a guest that unpacks
// Debian's kernel at each boot needs 0.6 s for that under emulation. It returns path itself where there is nothing to
// gain: an ELF file, a compression that is not undone here, a kernel without a PVH entry. The unpacked kernel does
// not move itself about at boot (KASLR), as the unpacker in a bzImage would see to.
func (c *Cache) unpackKernel(ctx context.Context, path string) (string, error) {
	if isELF(path) {
		return path, nil
	}
	image, err := os.ReadFile(path)
	if err != nil {
		return "", &KernelFileError{path, err}
	}
	sum := sha256.Sum256(image)
	dir, err := c.Entry(ctx, "kernels/unpacked", hex.EncodeToString(sum[:16]), func(ctx context.Context, dir string) error {
		progress(ctx, "unpacking the kernel (once)")
		return unpackBzImage(image, filepath.Join(dir, "vmlinux"))
	})
	var damaged *payloadError
	if errors.As(err, &damaged) {
		return "", &KernelFileError{path, damaged}
	}
	if err != nil {
		return "", err
	}
	return pickUnpacked(filepath.Join(dir, "vmlinux"), path), nil
}

func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == "\x7fELF"
}

// pickUnpacked returns unpacked where it is there and can be booted, else packed.
func pickUnpacked(unpacked, packed string) string {
	if _, err := inspectKernel(unpacked); err != nil {
		return packed
	}
	return unpacked
}

// unpackBzImage writes the kernel inside image to the file at path, or nothing where image is no bzImage or packed in
// a way that is not undone here.
func unpackBzImage(image []byte, path string) error {
	payload, err := kernelPayload(image)
	if err != nil {
		return &payloadError{err}
	}
	open := payloadReader(payload)
	if open == nil {
		return nil
	}
	return writeUnpacked(path, open)
}

// kernelPayload returns the compressed kernel in a bzImage that checkKernel accepted, nil for an ELF file.
func kernelPayload(image []byte) ([]byte, error) {
	if len(image) < setupEnd || string(image[0x202:0x206]) != "HdrS" {
		return nil, nil
	}
	le := binary.LittleEndian
	sects := uint64(image[setupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + uint64(le.Uint32(image[setupPayloadOffset:]))
	length := uint64(le.Uint32(image[setupPayloadLength:]))
	if start+length > uint64(len(image)) {
		return nil, fmt.Errorf("the header puts it at %d, %d bytes long, beyond the end of the file", start, length)
	}
	return image[start : start+length], nil
}

// maxWindow is how far back a compression may look, which its decoder has to keep; a kernel's build asks for 128 MiB at most.
const maxWindow = 256 << 20

// payloadReader returns what opens the payload, nil for a compression that is not known here.
func payloadReader(payload []byte) func() (io.Reader, error) {
	if len(payload) < 8 {
		return nil
	}
	// The build appends the unpacked size, except to gzip, which has it already.
	size := int64(binary.LittleEndian.Uint32(payload[len(payload)-4:]))
	sized := func() io.Reader { return bytes.NewReader(payload[:len(payload)-4]) }
	switch {
	case bytes.HasPrefix(payload, []byte("\x02\x21\x4c\x18")): // LZ4, legacy frame
		return func() (io.Reader, error) { return &exactReader{lz4.NewReader(sized()), size}, nil }
	case bytes.HasPrefix(payload, []byte("\x28\xb5\x2f\xfd")):
		return func() (io.Reader, error) {
			d, err := zstd.NewReader(sized(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
			return d.IOReadCloser(), nil
		}
	case bytes.HasPrefix(payload, []byte("\x1f\x8b")):
		return func() (io.Reader, error) {
			z, err := gzip.NewReader(bytes.NewReader(payload))
			if err == nil {
				z.Multistream(false)
			}
			return z, err
		}
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")): // with the filter for x86 code, which few decoders have
		return func() (io.Reader, error) { return xz.NewReader(sized(), maxWindow) }
	}
	return nil
}

// exactReader notices where its reader has more or fewer bytes than it should: LZ4's legacy frame has no checksum.
type exactReader struct {
	r    io.Reader
	left int64
}

func (e *exactReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	e.left -= int64(n)
	if e.left < 0 || err == io.EOF && e.left > 0 {
		return n, errors.New("it has another size than it says")
	}
	return n, err
}

// payloadError says that a kernel's payload does not unpack.
type payloadError struct{ err error }

func (e *payloadError) Error() string {
	return fmt.Sprintf("the compressed kernel in it is damaged (%v); copy or install it again", e.err)
}

func (e *payloadError) Unwrap() error { return e.err }

// sourceReader marks the errors of reading, to tell them from those of writing.
type sourceReader struct{ r io.Reader }

func (s sourceReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF {
		err = &payloadError{err}
	}
	return n, err
}

func writeUnpacked(path string, open func() (io.Reader, error)) error {
	r, err := open()
	if err != nil {
		return &payloadError{err}
	}
	if closer, ok := r.(io.Closer); ok {
		defer closer.Close()
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(sourceReader{r}, maxKernelBytes+1))
	if err == nil && n > maxKernelBytes {
		err = &payloadError{fmt.Errorf("it unpacks to more than %d bytes", maxKernelBytes)}
	}
	return errors.Join(err, f.Close())
}
