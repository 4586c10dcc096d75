package image

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// packers pack a kernel as the kernel's build does (scripts/Makefile.lib): each with the unpacked size behind it but gzip, which
// has it already.
var packers = map[string]func(t testing.TB, kernel []byte) []byte{
	"lz4": lz4Payload,
	"gzip": func(t testing.TB, kernel []byte) []byte {
		var out bytes.Buffer
		pack(t, gzip.NewWriter(&out), kernel)
		return out.Bytes()
	},
	"zstd": func(t testing.TB, kernel []byte) []byte {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		pack(t, w, kernel)
		return binary.LittleEndian.AppendUint32(out.Bytes(), uint32(len(kernel)))
	},
	"xz": xzPayload,
}

func pack(t testing.TB, w io.WriteCloser, kernel []byte) {
	t.Helper()
	_, err := w.Write(kernel)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

// xzPayload calls the program, since no encoder in Go has the filter for x86 code.
func xzPayload(t testing.TB, kernel []byte) []byte {
	t.Helper()
	xz, err := exec.LookPath("xz")
	if err != nil {
		if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
			t.Fatal("xz is missing; install Debian's xz-utils")
		}
		t.Skip("xz is missing; install Debian's xz-utils")
	}
	cmd := exec.CommandContext(t.Context(), xz, "--check=crc32", "--x86", "--lzma2=dict=32MiB", "--stdout")
	cmd.Stdin = bytes.NewReader(kernel)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz: %v", err)
	}
	return binary.LittleEndian.AppendUint32(out, uint32(len(kernel)))
}

// codeLikeKernel returns a kernel with many calls in it, whose targets the filter for x86 code changes.
func codeLikeKernel() []byte {
	kernel := fakeVmlinux("6.1.0")
	for i := range uint32(10_000) {
		kernel = append(kernel, 0x90, 0xe8) // nop, call
		kernel = binary.LittleEndian.AppendUint32(kernel, 0x100-i*6)
	}
	return kernel
}

func TestEveryCompressionIsUndone(t *testing.T) {
	inner := codeLikeKernel()
	for name, packed := range packers {
		t.Run(name, func(t *testing.T) {
			c, path := openTestCache(t), filepath.Join(t.TempDir(), "vmlinuz")
			writeFile(t, path, string(fakeBzImage("6.1.0", packed(t, inner))))
			kernel, err := c.Kernel(t.Context(), KernelRequest{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if kernel.Path == path {
				t.Error("it was not unpacked")
			}
			got, err := os.ReadFile(kernel.Path)
			if err != nil || !bytes.Equal(got, inner) {
				t.Errorf("%s is not the kernel that was packed (%v)", kernel.Path, err)
			}
		})
	}
}

func TestDamageIsSaidOfEveryCompression(t *testing.T) {
	for name, packed := range packers {
		t.Run(name, func(t *testing.T) {
			payload := packed(t, codeLikeKernel())
			for i := 16; i < len(payload)-16; i++ {
				payload[i] = 0xff
			}
			path := filepath.Join(t.TempDir(), "vmlinuz")
			writeFile(t, path, string(fakeBzImage("6.1.0", payload)))
			c := openTestCache(t)
			_, err := c.Kernel(t.Context(), KernelRequest{Path: path})
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("%v, want an error about the damaged kernel in %s", err, path)
			}
			assertNoWork(t, c, "kernels/unpacked")
		})
	}
}

// LZ4's legacy frame has no checksum, but a size behind it.
func TestKernelOfAnotherSizeIsDamaged(t *testing.T) {
	for _, change := range []int{-1, 1} {
		payload := lz4Payload(t, codeLikeKernel())
		payload[len(payload)-4] += byte(change)
		path := filepath.Join(t.TempDir(), "vmlinuz")
		writeFile(t, path, string(fakeBzImage("6.1.0", payload)))
		if _, err := openTestCache(t).Kernel(t.Context(), KernelRequest{Path: path}); err == nil || !strings.Contains(err.Error(), "size") {
			t.Errorf("%+d: %v, want an error about its size", change, err)
		}
	}
}
