package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// offline is a package source without a network.
type offline struct{}

var errOffline = errors.New("could not resolve 'deb.debian.org'")

func (offline) Depends(context.Context, string) ([]string, error)        { return nil, errOffline }
func (offline) Download(context.Context, string, string) (string, error) { return "", errOffline }

// fakeELF returns the smallest file that passes as a static x86-64 program.
func fakeELF() []byte {
	b := make([]byte, elfHeaderSize)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], elfTypeExec)
	le.PutUint16(b[18:], elfMachineX86)
	le.PutUint32(b[20:], 1)
	le.PutUint16(b[52:], elfHeaderSize)
	le.PutUint16(b[54:], elfProgSize)
	return b
}

func fakeAgent(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), AgentName)
	if err := os.WriteFile(path, append(fakeELF(), content...), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// fakeVmlinux returns an ELF kernel: one loaded segment with the banner, one note with the PVH entry.
func fakeVmlinux(release string) []byte {
	le := binary.LittleEndian
	text := []byte("\x00code\x00Linux version %s\x00Linux version " + release + " (builder) #1\n\x00")
	note := append([]byte{4, 0, 0, 0, 4, 0, 0, 0, notePhys32, 0, 0, 0}, "Xen\x00\x00\x00\x10\x00"...)
	b := fakeELF()
	le.PutUint64(b[32:], elfHeaderSize)
	le.PutUint16(b[56:], 2)
	offset := uint64(elfHeaderSize + 2*elfProgSize)
	for _, segment := range []struct {
		kind uint32
		data []byte
	}{{progLoad, text}, {progNote, note}} {
		p := make([]byte, elfProgSize)
		le.PutUint32(p, segment.kind)
		le.PutUint64(p[8:], offset)
		le.PutUint64(p[32:], uint64(len(segment.data)))
		b = append(b, p...)
		offset += uint64(len(segment.data))
	}
	return append(append(b, text...), note...)
}

// fakeBzImage returns a bzImage of two setup sectors around payload.
func fakeBzImage(release string, payload []byte) []byte {
	const sects = 2
	setup := make([]byte, (sects+1)*512)
	le := binary.LittleEndian
	body := append([]byte("unpacker"), payload...)
	body = append(body, make([]byte, (16-len(body)%16)%16)...)
	setup[setupSects] = sects
	le.PutUint32(setup[setupSysSize:], uint32(len(body)/16))
	le.PutUint16(setup[setupBootFlag:], bootFlag)
	copy(setup[0x202:], "HdrS")
	le.PutUint16(setup[setupVersion:], 0x020f)
	le.PutUint16(setup[setupKernelVer:], 0x0300-0x200)
	setup[setupLoadFlags] = loadedHigh
	le.PutUint16(setup[setupXLoad:], xlfKernel64)
	le.PutUint32(setup[setupPayloadOffset:], uint32(len("unpacker")))
	le.PutUint32(setup[setupPayloadLength:], uint32(len(payload)))
	copy(setup[0x300:], release+" (builder) #1\x00")
	return append(setup, body...)
}

// lz4Payload packs a kernel as the kernel's build does: a legacy frame and the unpacked size.
func lz4Payload(t testing.TB, kernel []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(kernel); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.AppendUint32(out.Bytes(), uint32(len(kernel)))
}
