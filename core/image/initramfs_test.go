package image

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

func readArchive(t *testing.T, data []byte) map[string]cpio.Record {
	t.Helper()
	if len(data)%segmentAlign != 0 {
		t.Errorf("%d bytes: not padded to %d", len(data), segmentAlign)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]cpio.Record{}
	for _, r := range records {
		if _, twice := byName[r.Name]; twice {
			t.Errorf("%s is there twice", r.Name)
		}
		if dir := filepath.Dir(r.Name); dir != "." {
			if _, known := byName[dir]; !known {
				t.Errorf("%s comes before its directory", r.Name)
			}
		}
		byName[r.Name] = r
	}
	return byName
}

func content(t *testing.T, r cpio.Record) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBootSegmentIsForRootOnly(t *testing.T) {
	config := `{"secret":"s"}`
	segment, err := BootSegment([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	files := readArchive(t, segment)
	boot, ok := files["run/voidbox/boot.json"]
	if !ok || boot.Mode != modeRegular|0o400 || boot.UID != 0 || boot.GID != 0 {
		t.Errorf("the configuration is %+v", boot.Info)
	}
	if got := content(t, boot); got != config {
		t.Errorf("it holds %q", got)
	}
	if dir := files["run/voidbox"]; dir.Mode != modeDir|0o700 {
		t.Errorf("its directory has mode %o", dir.Mode)
	}
	again, err := BootSegment([]byte(config))
	if err != nil || !bytes.Equal(segment, again) {
		t.Errorf("a second segment differs (%v)", err)
	}
	if _, err := BootSegment(make([]byte, MaxBootConfig+1)); err == nil {
		t.Error("a configuration without bounds was accepted")
	}
}

// fakeKernel returns a kernel with modules.
func fakeKernel(t *testing.T) Kernel {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0")
	writeFile(t, filepath.Join(dir, "modules.dep"),
		"kernel/virtio_mmio.ko: kernel/virtio.ko\nkernel/virtio.ko:\nkernel/vmw_vsock_virtio_transport.ko: kernel/virtio.ko\n")
	for _, m := range []string{"virtio_mmio", "virtio", "vmw_vsock_virtio_transport"} {
		writeFile(t, filepath.Join(dir, "kernel", m+".ko"), "module "+m)
	}
	return Kernel{Path: "/none", Release: "6.1.0", ModulesDir: dir}
}

func TestMinimalInitramfs(t *testing.T) {
	c := openTestCache(t)
	spec := InitramfsSpec{Kernel: fakeKernel(t), Agent: fakeAgent(t, "agent"), Contents: Minimal}
	path, err := c.Initramfs(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := readArchive(t, data)
	list := content(t, files[strings.TrimPrefix(ModulesListPath, "/")])
	want := "/lib/modules/6.1.0/kernel/virtio.ko\n/lib/modules/6.1.0/kernel/virtio_mmio.ko\n/lib/modules/6.1.0/kernel/vmw_vsock_virtio_transport.ko\n"
	if list != want {
		t.Errorf("modules %q, want %q", list, want)
	}
	if got := content(t, files["lib/modules/6.1.0/kernel/virtio.ko"]); got != "module virtio" {
		t.Errorf("module holds %q", got)
	}
	if init := files["init"]; init.Mode != modeRegular|0o755 || !strings.HasSuffix(content(t, init), "agent") {
		t.Errorf("init is %+v", init.Info)
	}
	if d := files["dev/console"]; d.Mode != modeChar|0o600 || d.Rmajor != 5 || d.Rminor != 1 {
		t.Errorf("console is %+v", d.Info)
	}
	if d := files["dev/null"]; d.Mode != modeChar|0o666 || d.Rmajor != 1 || d.Rminor != 3 {
		t.Errorf("null is %+v", d.Info)
	}
	if _, there := files["bin/busybox"]; there {
		t.Error("a minimal initramfs with busybox")
	}
}

func TestBaseInitramfs(t *testing.T) {
	c := openTestCache(t)
	busybox := filepath.Join(c.host, "bin", "busybox")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", busybox, "./testdata/busybox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	writeFile(t, filepath.Join(c.host, "bin", "bash-static"), string(fakeELF())+"bash")
	path, err := c.Initramfs(t.Context(), InitramfsSpec{Kernel: fakeKernel(t), Agent: fakeAgent(t, "agent")})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := readArchive(t, data)
	for link, target := range map[string]string{"bin/sh": "/bin/busybox", "usr/bin/env": "/bin/busybox", "usr/bin/bash": "/bin/bash"} {
		if r := files[link]; r.Mode != modeLink|0o777 || content(t, r) != target {
			t.Errorf("%s is %+v", link, r.Info)
		}
	}
	for _, name := range []string{"bin/bash", "bin/busybox"} {
		if r := files[name]; r.Mode != modeRegular|0o755 {
			t.Errorf("%s is %+v", name, r.Info)
		}
	}
	for name := range files {
		if name == "sbin/init" || name == "linuxrc" || strings.Contains(name, "shadow") {
			t.Errorf("%s is in the base image", name)
		}
	}
	for _, name := range []string{"workspace", "home/sandbox"} {
		if r := files[name]; r.Mode != modeDir|0o755 || r.UID != 1000 || r.GID != 1000 {
			t.Errorf("%s is %+v", name, r.Info)
		}
	}
	if r := files["tmp"]; r.Mode != modeDir|0o1777 {
		t.Errorf("tmp has mode %o", r.Mode)
	}
	if got := content(t, files["etc/passwd"]); !strings.Contains(got, "sandbox:x:1000:1000:sandbox:/home/sandbox:/bin/bash\n") {
		t.Errorf("passwd is %q", got)
	}
	if got := content(t, files["etc/resolv.conf"]); got != "" {
		t.Errorf("resolv.conf is %q", got)
	}
}

func TestInitramfsIsDeterministic(t *testing.T) {
	kernel, agent := fakeKernel(t), fakeAgent(t, "agent")
	var archives [2][]byte
	var keys [2]string
	for i := range archives {
		path, err := openTestCache(t).Initramfs(t.Context(), InitramfsSpec{Kernel: kernel, Agent: agent, Contents: Minimal})
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		keys[i] = filepath.Base(filepath.Dir(path))
	}
	if keys[0] != keys[1] || !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same input gave two archives")
	}
}

func TestInitramfsKeyFollowsContent(t *testing.T) {
	c, kernel := openTestCache(t), fakeKernel(t)
	build := func(k Kernel, agent string) string {
		t.Helper()
		path, err := c.Initramfs(t.Context(), InitramfsSpec{Kernel: k, Agent: fakeAgent(t, agent), Contents: Minimal})
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := build(kernel, "one")
	if build(kernel, "one") != first {
		t.Error("an equal agent elsewhere was built again")
	}
	if build(kernel, "two") == first {
		t.Error("another agent gave the old initramfs")
	}
	writeFile(t, filepath.Join(kernel.ModulesDir, "kernel", "virtio.ko"), "another module")
	if build(kernel, "one") == first {
		t.Error("another module gave the old initramfs")
	}
}

func TestAgentThatCannotBePID1IsRefused(t *testing.T) {
	c := openTestCache(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	writeFile(t, script, "#!/bin/sh\n")
	foreign := filepath.Join(dir, "foreign")
	arm := fakeELF()
	arm[18] = 183
	writeFile(t, foreign, string(arm))
	object := filepath.Join(dir, "object")
	writeFile(t, object, string(fakeModule("")))
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file", script: "not a program", foreign: "the guest is x86-64", object: "not an executable", "": AgentName,
	} {
		_, err := c.Initramfs(t.Context(), InitramfsSpec{Kernel: Kernel{Release: "6.1.0"}, Agent: path, Contents: Minimal})
		if err == nil {
			t.Fatalf("%q was accepted", path)
		}
		for _, want := range []string{path, want, "CGO_ENABLED=0"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

func TestBaseWithoutBusyboxNamesTheRemedy(t *testing.T) {
	c := openTestCache(t)
	_, err := c.Initramfs(t.Context(), InitramfsSpec{Kernel: fakeKernel(t), Agent: fakeAgent(t, "agent")})
	if err == nil || !strings.Contains(err.Error(), "sudo apt-get install busybox-static") || !strings.Contains(err.Error(), errOffline.Error()) {
		t.Errorf("%v, want the cause and the remedy", err)
	}
}
