package boot

import (
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// refused checks that err is of the kind, says each of the words, and what to do.
func refused(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%v; want an error that is %q", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func change(f func(e *fakeELF)) []byte {
	e := newELF()
	f(&e)
	return e.bytes()
}

func changeImage(f func(b []byte)) []byte {
	b := newBzImage()
	f(b)
	return b
}

func pad(head string, at int, magic string) []byte {
	b := make([]byte, 4096)
	copy(b, head)
	copy(b[at:], magic)
	return b
}

func TestFilesThatAreNoKernelForThisMachine(t *testing.T) {
	sparse := newELF()
	sparse.parts = sparse.parts[:2]
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty":                {nil, "empty"},
		"text":                 {[]byte("#!/bin/sh\n"), "not a kernel"},
		"zeroes":               {make([]byte, 8192), "not a kernel"},
		"gzip":                 {pad("\x1f\x8b", 100, ""), "compressed"},
		"arm64 Image":          {pad("MZ", 56, "ARM\x64"), "arm64"},
		"RISC-V Image":         {pad("MZ", 56, "RSC\x05"), "RISC-V"},
		"EFI zboot":            {pad("MZ", 4, "zimg"), "another architecture"},
		"ELF magic only":       {[]byte("\x7fELF"), "truncated"},
		"32-bit ELF":           {change(func(e *fakeELF) { e.class, e.machine = elf.ELFCLASS32, elf.EM_386 }), "32-bit"},
		"arm64 ELF":            {change(func(e *fakeELF) { e.machine = elf.EM_AARCH64 }), "EM_AARCH64"},
		"module":               {change(func(e *fakeELF) { e.kind = elf.ET_REL }), "module"},
		"no program headers":   {change(func(e *fakeELF) { e.parts = nil }), "0 program headers"},
		"nothing to load":      {change(func(e *fakeELF) { e.parts = e.parts[2:] }), "nothing is to be loaded"},
		"below 1 MiB":          {change(func(e *fakeELF) { e.parts[0].address = 0x1000 }), "0x1000"},
		"beyond low RAM":       {change(func(e *fakeELF) { e.parts[1].memory = 4 << 30 }), "0xc0000000"},
		"memory wraps":         {change(func(e *fakeELF) { e.parts[1].memory = 1<<64 - 1 }), "0xc0000000"},
		"program":              {change(func(e *fakeELF) { e.parts = []fakePart{{kind: elf.PT_LOAD, address: 0x400000, data: []byte("x")}} }), "a program"},
		"bad PVH and entry":    {change(func(e *fakeELF) { e.parts[2].data, e.entry = note("Xen\x00", 18, u64(64)), linkBase }), "PVH entry"},
		"no PVH, no entry":     {change(func(e *fakeELF) { e.parts, e.entry = e.parts[:2], linkBase+textAt }), "no note that names a PVH entry"},
		"setup header only":    {newBzImage()[:setupVersion], "truncated"},
		"no boot flag":         {changeImage(func(b []byte) { b[setupBootFlag] = 0 }), "boot flag"},
		"old protocol":         {changeImage(func(b []byte) { b[setupVersion] = 0x0a }), "2.10"},
		"zImage":               {changeImage(func(b []byte) { b[setupLoadFlags] = 0 }), "zImage"},
		"32-bit bzImage":       {changeImage(func(b []byte) { b[setupXLoadFlags] = 0 }), "no 64-bit entry"},
		"short setup header":   {changeImage(func(b []byte) { b[setupJump] = 0x10 }), "ends at"},
		"loads below 1 MiB":    {changeImage(func(b []byte) { copy(b[setupPreferred:], u64(0)) }), "damaged"},
		"loads above 4 GiB":    {changeImage(func(b []byte) { copy(b[setupPreferred:], u64(1<<40)) }), "damaged"},
		"loads unaligned":      {changeImage(func(b []byte) { copy(b[setupPreferred:], u64(textAt+4096)) }), "aligned"},
		"init_size to the sky": {changeImage(func(b []byte) { copy(b[setupInitSize:], words32(1<<32-1)) }), "0xc0000000"},
		"no code":              {changeImage(func(b []byte) { copy(b[setupSysSize:], words32(0)) }), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, c.file)
			_, err := Load(newMemory(t, 64*mib), Config{Kernel: path})
			refused(t, err, errdef.ErrInvalid, path, c.says)
			if errdef.Remedy(err) == "" {
				t.Errorf("%q does not say what to do", err)
			}
		})
	}
}

// A kernel that ends early is noticed wherever it ends.
func TestTruncatedKernels(t *testing.T) {
	for name, image := range map[string][]byte{"ELF": newELF().bytes(), "bzImage": newBzImage()} {
		path, mem := "", newMemory(t, 64*mib)
		for n := len(image) - 1; n > setupVersion; n -= 97 {
			path = writeFile(t, image[:n])
			_, err := Load(mem, Config{Kernel: path})
			refused(t, err, errdef.ErrInvalid, path, "truncated")
		}
		if path == "" {
			t.Errorf("%s is too short to be cut", name)
		}
	}
}

func TestKernelFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	mem := newMemory(t, 64*mib)
	for path, kind := range map[string]error{
		filepath.Join(dir, "nothing"): errdef.ErrNotFound, dir: errdef.ErrInvalid, pipe: errdef.ErrInvalid,
	} {
		_, err := Load(mem, Config{Kernel: path})
		refused(t, err, kind, "kernel "+path)
		_, err = Load(mem, Config{Kernel: writeFile(t, newBzImage()), Initrd: []vmm.Segment{{Path: path}}})
		refused(t, err, kind, "initrd "+path)
	}
	if err := about("kernel", "k", fs.ErrPermission); !errors.Is(err, errdef.ErrPermission) {
		t.Errorf("%v is no ErrPermission", err)
	}
	if err := about("kernel", "k", syscall.EIO); !errors.Is(err, errdef.ErrUnavailable) {
		t.Errorf("%v is no ErrUnavailable", err)
	}
}

func TestTooLittleMemory(t *testing.T) {
	big := []vmm.Segment{{Path: writeFile(t, make([]byte, 40*mib))}}
	huge := filepath.Join(t.TempDir(), "huge")
	if err := writeSparse(huge, 3<<30); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kernel []byte
		initrd []vmm.Segment
		says   []string
		remedy string
	}{
		"ELF":     {change(func(e *fakeELF) { e.parts[1].memory = 100 * mib }), nil, []string{"118 MiB", "64 MiB"}, "118 MiB"},
		"bzImage": {changeImage(func(b []byte) { copy(b[setupInitSize:], words32(100*mib)) }), nil, []string{"116 MiB", "64 MiB"}, "116 MiB"},
		"initrd":  {newBzImage(), big, []string{"initrd", "73 MiB", "64 MiB"}, "73 MiB"},
		"initrd for no memory": {newBzImage(), []vmm.Segment{{Path: huge}}, []string{"3072 MiB", "2016 MiB", "whatever"},
			"on a disk"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(newMemory(t, 64*mib), Config{Kernel: writeFile(t, c.kernel), Initrd: c.initrd})
			refused(t, err, errdef.ErrInvalid, c.says...)
			if r := errdef.Remedy(err); !strings.Contains(r, c.remedy) {
				t.Errorf("remedy %q does not say %q", r, c.remedy)
			}
		})
	}
	// What the error says is needed is enough.
	if _, err := Load(newMemory(t, 73*mib), Config{Kernel: writeFile(t, newBzImage()), Initrd: big}); err != nil {
		t.Error(err)
	}
}

func TestCommandLinesThatDoNotFit(t *testing.T) {
	short := changeImage(func(b []byte) { copy(b[setupCommandMax:], words32(255)) })
	greedy := changeImage(func(b []byte) { copy(b[setupCommandMax:], words32(1<<32-1)) })
	for _, c := range []struct {
		kernel      []byte
		commandLine string
		says        []string
	}{
		{newELF().bytes(), strings.Repeat("x", 2048), []string{"2048 bytes", "2047"}},
		{newBzImage(), strings.Repeat("x", 3000), []string{"3000 bytes", "2047"}},
		{short, strings.Repeat("x", 256), []string{"256 bytes", "255"}},
		{greedy, strings.Repeat("x", mib), []string{"1048576 bytes", "523263"}},
		{newBzImage(), "quiet\x00init=/bin/sh", []string{"zero byte at 5"}},
	} {
		_, err := Load(newMemory(t, 64*mib), Config{Kernel: writeFile(t, c.kernel), CommandLine: c.commandLine})
		refused(t, err, errdef.ErrInvalid, c.says...)
	}
}

func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	for name, misbehave := range map[string]func(f *memoryFile){
		"shrinks": func(f *memoryFile) { f.Reader.Reset(newBzImage()[:300]) },
		"grows":   func(f *memoryFile) { f.size++ },
		"written": func(f *memoryFile) { f.changed = f.changed.Add(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemoryFile(newBzImage())
			f, err := newFile(m)
			if err != nil {
				t.Fatal(err)
			}
			m.onRead = misbehave
			l, err := newLoader(newMemory(t, 64*mib))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = l.kernel(f); err == nil {
				err = f.unchanged()
			}
			refused(t, err, errdef.ErrAborted, "while it was read")
		})
	}
}

func TestVMWithoutLowMemory(t *testing.T) {
	if _, err := newLoader(newHighMemory(t)); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// A disk that fails is not the kernel's fault.
func TestReadErrors(t *testing.T) {
	m := failingFile{newMemoryFile(newBzImage())}
	f, err := newFile(m)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoader(newMemory(t, 64*mib))
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.kernel(f)
	refused(t, about("kernel", "k", err), errdef.ErrUnavailable, "input/output error")
}

type failingFile struct{ *memoryFile }

func (failingFile) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

var _ io.ReaderAt = failingFile{}
