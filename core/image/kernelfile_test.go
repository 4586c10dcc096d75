package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSoundKernelsGiveTheirRelease(t *testing.T) {
	const release = "6.1.0-56-cloud-amd64"
	for name, kernel := range map[string][]byte{
		"bzImage":              fakeBzImage(release, []byte("payload")),
		"signed bzImage":       append(fakeBzImage(release, []byte("payload")), "signature"...),
		"vmlinux":              fakeVmlinux(release),
		"vmlinux, late banner": lateBanner(release),
	} {
		got, err := checkKernel(bytes.NewReader(kernel), int64(len(kernel)))
		if got != release || err != nil {
			t.Errorf("%s: release %q, %v", name, got, err)
		}
	}
}

// lateBanner puts the banner across the end of the first chunk that is searched.
func lateBanner(release string) []byte {
	k := bytes.ReplaceAll(fakeVmlinux(release), []byte("Linux version "), []byte("Linux_version_"))
	k = append(k, make([]byte, bannerChunk-len(k)-8)...)
	return append(k, "Linux version "+release+" x"...)
}

func TestBrokenKernelsSayWhatIsWrong(t *testing.T) {
	le := binary.LittleEndian
	patched := func(k []byte, at int, with ...byte) []byte {
		k = bytes.Clone(k)
		copy(k[at:], with)
		return k
	}
	bz, elf := fakeBzImage("6.1.0", []byte("payload")), fakeVmlinux("6.1.0")
	far := bytes.Clone(elf)
	le.PutUint64(far[32:], 1<<63)
	wide := bytes.Clone(elf)
	le.PutUint64(wide[elfHeaderSize+32:], 1<<63)
	for _, tt := range []struct {
		name   string
		kernel []byte
		want   string
	}{
		{"empty", nil, "the file is empty"},
		{"text", []byte("#!/bin/sh\n"), "not a kernel"},
		{"bzImage cut by a byte", bz[:len(bz)-1], "truncated"},
		{"bzImage cut in the header", bz[:0x210], "truncated within the setup header"},
		{"bzImage without boot flag", patched(bz, setupBootFlag, 0), "boot flag"},
		{"old protocol", patched(bz, setupVersion, 0x0a, 0x02), "boot protocol 2.10 is too old"},
		{"zImage", patched(bz, setupLoadFlags, 0), "zImage"},
		{"32-bit bzImage", patched(bz, setupXLoad, 0), "32-bit"},
		{"no version", patched(bz, setupKernelVer, 0, 0), "no kernel version"},
		{"version beyond setup", patched(bz, setupKernelVer, 0xff, 0xff), "no kernel version"},
		{"release that is a path", fakeBzImage("6/../../etc", nil), "no kernel release"},
		{"ELF for another machine", patched(elf, 18, 183), "not for x86-64"},
		{"ELF, 32 bit", patched(elf, 4, 1), "not for x86-64"},
		{"module", patched(elf, 16, 1), "not a linked kernel"},
		{"ELF cut", elf[:len(elf)-1], "truncated"},
		{"ELF cut in the header", elf[:40], "truncated within the ELF header"},
		{"ELF cut in the table", elf[:80], "truncated within the program headers"},
		{"table far away", far, "truncated"},
		{"segment too long", wide, "truncated"},
		{"no program headers", patched(elf, 56, 0), "damaged"},
		{"no PVH note", bytes.Replace(elf, []byte("Xen\x00"), []byte("GNU\x00"), 1), "CONFIG_PVH"},
		{"not Linux", bytes.ReplaceAll(elf, []byte("Linux version"), []byte("Minix version")), "not a Linux kernel"},
	} {
		release, err := checkKernel(bytes.NewReader(tt.kernel), int64(len(tt.kernel)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v; want an error with %q", tt.name, release, err, tt.want)
		}
	}
}

func TestHugeKernelIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(path, fakeBzImage("6.1.0", []byte("payload")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxKernelBytes+1); err != nil { // a sparse file
		t.Fatal(err)
	}
	if _, err := inspectKernel(path); err == nil || !strings.Contains(err.Error(), "no bzImage has more") {
		t.Errorf("error %v", err)
	}
}

func TestKernelErrorNamesFileAndRemedy(t *testing.T) {
	c := openTestCache(t)
	bz := fakeBzImage("6.1.0", []byte("payload"))
	path := filepath.Join(t.TempDir(), "vmlinuz-cut")
	writeFile(t, path, string(bz[:len(bz)-16]))
	for file, want := range map[string]string{path: "truncated", path + "-missing": "no such file", filepath.Dir(path): "not a regular file"} {
		_, err := c.Kernel(t.Context(), KernelRequest{Path: file})
		var bad *KernelFileError
		if !errors.As(err, &bad) || bad.Path != file {
			t.Fatalf("%v, want a KernelFileError for %s", err, file)
		}
		for _, want := range []string{file, want, "name an x86-64 bzImage"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

func FuzzCheckKernel(f *testing.F) {
	f.Add(fakeBzImage("6.1.0", lz4Payload(f, fakeVmlinux("6.1.0"))))
	f.Add(fakeVmlinux("6.1.0-56-cloud-amd64"))
	f.Add([]byte("\x7fELF"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, kernel []byte) {
		release, err := checkKernel(bytes.NewReader(kernel), int64(len(kernel)))
		if err != nil {
			return
		}
		if filepath.Base(release) != release || !filepath.IsLocal(release) {
			t.Errorf("release %q is more than a file name", release)
		}
		if payload, err := kernelPayload(kernel); err == nil && len(payload) > len(kernel) {
			t.Errorf("payload of %d bytes in %d", len(payload), len(kernel))
		}
	})
}

func TestUnpackedKernelIsUsed(t *testing.T) {
	c := openTestCache(t)
	inner := fakeVmlinux("6.1.0")
	path := filepath.Join(t.TempDir(), "vmlinuz")
	writeFile(t, path, string(fakeBzImage("6.1.0", lz4Payload(t, inner))))
	kernel, err := c.Kernel(t.Context(), KernelRequest{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(kernel.Path)
	if err != nil || !bytes.Equal(got, inner) {
		t.Errorf("%s is not the kernel that was packed (%v)", kernel.Path, err)
	}
	if kernel.Release != "6.1.0" || kernel.Origin != OriginNamed || kernel.ModulesDir != "" {
		t.Errorf("%+v", kernel)
	}
}

func TestKernelThatCannotBeUnpackedBootsPacked(t *testing.T) {
	c := openTestCache(t)
	noPVH := bytes.Replace(fakeVmlinux("6.1.0"), []byte("Xen\x00"), []byte("GNU\x00"), 1)
	for name, payload := range map[string][]byte{"unknown compression": []byte("BZh9 payload"), "no PVH": lz4Payload(t, noPVH)} {
		path := filepath.Join(t.TempDir(), "vmlinuz")
		writeFile(t, path, string(fakeBzImage("6.1.0", payload)))
		kernel, err := c.Kernel(t.Context(), KernelRequest{Path: path})
		if err != nil || kernel.Path != path {
			t.Errorf("%s: %+v, %v", name, kernel, err)
		}
	}
}
