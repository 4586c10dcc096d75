package image

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// fakeModule returns an ELF object with a .modinfo section that names what it depends on.
func fakeModule(depends string) []byte {
	le := binary.LittleEndian
	info := "license=GPL\x00depends=" + depends + "\x00name=x\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	b := fakeELF()
	le.PutUint16(b[16:], 1) // ET_REL
	le.PutUint64(b[40:], uint64(len(b)+len(info)+len(names)))
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	section := func(name, kind uint32, offset, size int) []byte {
		s := make([]byte, 64)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(offset))
		le.PutUint64(s[32:], uint64(size))
		return s
	}
	at := len(b)
	b = append(b, info+names...)
	b = append(b, make([]byte, 64)...)
	b = append(b, section(1, 1, at, len(info))...)
	return append(b, section(10, 3, at+len(info), len(names))...)
}

const testDep = `# a comment
kernel/net/vsock.ko:
kernel/net/transport.ko: kernel/net/common.ko kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko kernel/net/vsock.ko
kernel/net/common.ko: kernel/net/vsock.ko

kernel/virtio/virtio.ko:
kernel/virtio/virtio_ring.ko: kernel/virtio/virtio.ko
kernel/virtio/virtio-rng.ko.xz: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
`

func TestModuleClosureIsInLoadOrder(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "modules.dep"), testDep)
	writeFile(t, filepath.Join(dir, "modules.builtin"), "kernel/fs/ext4/ext4.ko\n")
	files, err := ModuleClosure(dir, "transport", "ext4", "virtio_rng", "vsock")
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) int {
		i := slices.Index(files, filepath.Join(dir, name))
		if i < 0 {
			t.Fatalf("%s is missing in %v", name, files)
		}
		return i
	}
	for _, order := range [][2]string{
		{"kernel/net/vsock.ko", "kernel/net/common.ko"},
		{"kernel/net/common.ko", "kernel/net/transport.ko"},
		{"kernel/virtio/virtio.ko", "kernel/virtio/virtio_ring.ko"},
		{"kernel/virtio/virtio_ring.ko", "kernel/net/transport.ko"},
		{"kernel/virtio/virtio_ring.ko", "kernel/virtio/virtio-rng.ko.xz"},
	} {
		if at(order[0]) > at(order[1]) {
			t.Errorf("%s comes after %s", order[0], order[1])
		}
	}
	if len(files) != 6 {
		t.Errorf("%d files, want each of 6 once: %v", len(files), files)
	}
}

func TestModuleErrors(t *testing.T) {
	for name, tt := range map[string]struct{ dep, ask, want string }{
		"unknown":          {testDep, "nosuch", "the kernel has no module nosuch"},
		"cycle":            {"a.ko: b.ko\nb.ko: a.ko\n", "a", "needs itself"},
		"dangling":         {"a.ko: b.ko\n", "a", "no line for b.ko"},
		"no colon":         {"a.ko b.ko\n", "a", "line 1: no colon"},
		"outside the tree": {"a.ko: ../../etc/x.ko\n", "a", "not the path of a module"},
		"absolute":         {"/a.ko:\n", "a", "not the path of a module"},
		"not a module":     {"a.ko: shadow\n", "a", "not the path of a module"},
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "modules.dep"), tt.dep)
		_, err := ModuleClosure(dir, tt.ask)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want an error with %q and the directory", name, err, tt.want)
		}
	}
	_, err := ModuleClosure(t.TempDir(), "a")
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "depmod") {
		t.Errorf("%v, want an error that names depmod", err)
	}
}

func TestDeepChainIsRefused(t *testing.T) {
	var dep strings.Builder
	for i := range maxDepth + 2 {
		name := func(i int) string { return "m" + strings.Repeat("x", i) + ".ko" }
		dep.WriteString(name(i) + ": " + name(i+1) + "\n")
	}
	tree, err := parseModulesDep(strings.NewReader(dep.String()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.closure([]string{"m"}); err == nil {
		t.Error("a chain without end was followed")
	}
}

func TestGuestModulesNeedATransport(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "modules.dep"), testDep)
	_, err := guestModules(dir)
	var none *NoModuleError
	if !errors.As(err, &none) || none.Name != "virtio_mmio" || !strings.Contains(err.Error(), "choose another kernel") {
		t.Errorf("%v, want an error about virtio_mmio", err)
	}
}

func TestPackedModulesAreUnpacked(t *testing.T) {
	want := strings.Repeat("module ", 1000)
	packers := map[string]func(*bytes.Buffer) error{
		"m.ko": func(b *bytes.Buffer) error { b.WriteString(want); return nil },
		"m.ko.gz": func(b *bytes.Buffer) error {
			w := gzip.NewWriter(b)
			_, err := w.Write([]byte(want))
			return errors.Join(err, w.Close())
		},
		"m.ko.xz": func(b *bytes.Buffer) error {
			w, err := xz.NewWriter(b)
			if err != nil {
				return err
			}
			_, err = w.Write([]byte(want))
			return errors.Join(err, w.Close())
		},
		"m.ko.zst": func(b *bytes.Buffer) error {
			w, err := zstd.NewWriter(b)
			if err != nil {
				return err
			}
			_, err = w.Write([]byte(want))
			return errors.Join(err, w.Close())
		},
	}
	for name, pack := range packers {
		var packed bytes.Buffer
		if err := pack(&packed); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		writeFile(t, path, packed.String())
		got, err := ReadModule(path)
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if unpackedName(name) != "m.ko" {
			t.Errorf("%s becomes %s", name, unpackedName(name))
		}
		if name == "m.ko" {
			continue
		}
		writeFile(t, path, packed.String()[:packed.Len()/2])
		if _, err := ReadModule(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s cut in half: %v, want an error that names it", name, err)
		}
	}
}

func TestModuleThatUnpacksWithoutEndIsRefused(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	chunk := make([]byte, 1<<20)
	for range maxModuleBytes>>20 + 1 {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bomb.ko.gz")
	writeFile(t, path, packed.String())
	if _, err := ReadModule(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v, want an error about the size", err)
	}
}

func TestModulesDepFromTheModulesThemselves(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "kernel", "c.ko"), string(fakeModule("b-b")))
	writeFile(t, filepath.Join(dir, "kernel", "b_b.ko"), string(fakeModule("a")))
	writeFile(t, filepath.Join(dir, "kernel", "a.ko"), string(fakeModule("")))
	if err := writeModulesDep(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	want := "kernel/a.ko:\nkernel/b_b.ko: kernel/a.ko\nkernel/c.ko: kernel/b_b.ko kernel/a.ko\n"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	writeFile(t, filepath.Join(dir, "kernel", "d.ko"), string(fakeModule("gone")))
	if err := writeModulesDep(dir); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("%v, want an error about a module that is gone", err)
	}
}

func FuzzParseModulesDep(f *testing.F) {
	f.Add(testDep)
	f.Add("a.ko: b.ko\nb.ko: a.ko\n")
	f.Add("../a.ko:\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := parseModulesDep(strings.NewReader(text))
		if err != nil {
			return
		}
		for name := range tree.files {
			order, err := tree.closure([]string{name})
			if err != nil {
				continue
			}
			seen := map[string]bool{}
			for _, file := range order {
				for _, need := range tree.deps[file] {
					if !seen[need] {
						t.Errorf("%q loads before %q, which it needs", file, need)
					}
				}
				if seen[file] || !filepath.IsLocal(file) {
					t.Errorf("%q is there twice, or outside", file)
				}
				seen[file] = true
			}
		}
	})
}
