package image

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// debianMirror serves a package source out of archives that dpkg-deb built here.
type debianMirror struct {
	depends map[string][]string
	debs    map[string]string
}

func (m debianMirror) Depends(_ context.Context, pkg string) ([]string, error) {
	return m.depends[pkg], nil
}

func (m debianMirror) Download(_ context.Context, pkg, dir string) (string, error) {
	deb, ok := m.debs[pkg]
	if !ok {
		return "", errOffline
	}
	data, err := os.ReadFile(deb)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(deb))
	return path, os.WriteFile(path, data, 0o644)
}

// buildDeb packs files (path -> content) into a package.
func buildDeb(t *testing.T, pkg string, files map[string]string) string {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is missing: no package can be built or unpacked here")
	}
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "DEBIAN", "control"), "Package: "+pkg+"\nVersion: 1\nArchitecture: all\nMaintainer: test <t@example.org>\nDescription: test\n")
	for name, content := range files {
		writeFile(t, filepath.Join(root, name), content)
	}
	deb := filepath.Join(t.TempDir(), pkg+"_1_all.deb")
	if out, err := exec.Command("dpkg-deb", "-Znone", "--root-owner-group", "-b", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	return deb
}

const (
	testDebian = "6.1.0-9-cloud-amd64"
	testOwn    = "6.1.9-voidbox"
)

func withDebian(t *testing.T, c *Cache) {
	t.Helper()
	image := "linux-image-" + testDebian
	deb := buildDeb(t, image, map[string]string{
		"boot/vmlinuz-" + testDebian:                                string(fakeBzImage(testDebian, lz4Payload(t, fakeVmlinux(testDebian)))),
		"boot/config-" + testDebian:                                 "not wanted",
		"lib/modules/" + testDebian + "/modules.builtin":            "kernel/fs/ext4/ext4.ko\n",
		"lib/modules/" + testDebian + "/kernel/fs/fuse/fuse.ko":     string(fakeModule("")),
		"lib/modules/" + testDebian + "/kernel/fs/fuse/virtio-x.ko": string(fakeModule("fuse")),
	})
	c.sources = debianMirror{
		depends: map[string][]string{cloudKernel: {"linux-base", image}},
		debs:    map[string]string{image: deb},
	}
	writeFile(t, filepath.Join(c.host, "etc", "os-release"), "NAME=\"Debian\"\nID=debian\n")
}

func withOwn(t *testing.T, c *Cache) {
	t.Helper()
	own := filepath.Join(c.Dir(), "kernels", "own")
	writeFile(t, filepath.Join(own, "abc", "vmlinux"), string(fakeVmlinux(testOwn)))
	if err := os.Symlink("abc", filepath.Join(own, "current")); err != nil {
		t.Fatal(err)
	}
}

func withHost(t *testing.T, c *Cache) string {
	t.Helper()
	release, err := hostRelease()
	if err != nil {
		t.Skip("the host is not Linux")
	}
	writeFile(t, filepath.Join(c.host, "boot", "vmlinuz-"+release), string(fakeBzImage(release, []byte("payload"))))
	writeFile(t, filepath.Join(c.host, "lib", "modules", release, "modules.dep"), "")
	return release
}

func TestKernelOrder(t *testing.T) {
	c := openTestCache(t)
	host := withHost(t, c)
	resolve := func(path, origin, release string) Kernel {
		t.Helper()
		kernel, err := c.Kernel(t.Context(), KernelRequest{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if kernel.Origin != origin || kernel.Release != release || !filepath.IsAbs(kernel.Path) {
			t.Errorf("got %+v, want %s from %s", kernel, release, origin)
		}
		return kernel
	}
	resolve("", OriginHost, host)
	withDebian(t, c)
	debian := resolve("", OriginDebian, testDebian)
	withOwn(t, c)
	if own := resolve("", OriginOwn, testOwn); own.ModulesDir != "" {
		t.Errorf("our own kernel is monolithic, got modules in %s", own.ModulesDir)
	}
	named := filepath.Join(t.TempDir(), "kernel")
	writeFile(t, named, string(fakeVmlinux("5.10.1")))
	resolve(named, OriginNamed, "5.10.1")

	files, err := ModuleClosure(debian.ModulesDir, "virtio_x", "ext4")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{debian.ModulesDir + "/kernel/fs/fuse/fuse.ko", debian.ModulesDir + "/kernel/fs/fuse/virtio-x.ko"}
	if strings.Join(files, " ") != strings.Join(want, " ") {
		t.Errorf("modules %v, want %v", files, want)
	}
}

func TestDebianKernelIsFetchedOnce(t *testing.T) {
	c := openTestCache(t)
	withDebian(t, c)
	var said []string
	ctx := WithProgress(t.Context(), func(s string) { said = append(said, s) })
	first, err := c.Kernel(ctx, KernelRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(said) == 0 {
		t.Error("a download without a word of progress")
	}
	c.sources, said = offline{}, nil
	second, err := c.Kernel(ctx, KernelRequest{})
	if err != nil || second != first {
		t.Errorf("%+v, %v; want %+v", second, err, first)
	}
	if len(said) > 0 {
		t.Errorf("progress from the cache: %q", said)
	}
	if isFile(filepath.Join(filepath.Dir(first.Path), "boot", "config-"+testDebian)) {
		t.Error("more was unpacked than is needed")
	}
}

func TestNoKernelSaysWhereItLooked(t *testing.T) {
	c := openTestCache(t)
	writeFile(t, filepath.Join(c.host, "etc", "os-release"), "ID=debian\n")
	_, err := c.Kernel(t.Context(), KernelRequest{})
	var none *NoKernelError
	if !errors.As(err, &none) || len(none.Tried) != 3 {
		t.Fatalf("%v, want a NoKernelError of three places", err)
	}
	for _, want := range []string{"your own build", "Debian's cloud kernel", errOffline.Error(), "the host's own kernel", "make kernel", "kernel ="} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	assertNoWork(t, c, "kernels/debian")
}

func TestBrokenOwnKernelIsNotPassedOver(t *testing.T) {
	c := openTestCache(t)
	withDebian(t, c)
	withOwn(t, c)
	path := filepath.Join(c.Dir(), "kernels", "own", "abc", "vmlinux")
	if err := os.Truncate(path, 200); err != nil {
		t.Fatal(err)
	}
	_, err := c.Kernel(t.Context(), KernelRequest{})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "make kernel") {
		t.Errorf("%v, want an error about %s", err, path)
	}
}

func TestInitrdOfTheUsersOwn(t *testing.T) {
	c := openTestCache(t)
	withOwn(t, c)
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	segment, err := BootSegment([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, good, string(segment))
	writeFile(t, bad, "text")
	kernel, err := c.Kernel(t.Context(), KernelRequest{Initrd: good})
	if err != nil {
		t.Fatal(err)
	}
	if path, err := c.Initramfs(t.Context(), InitramfsSpec{Kernel: kernel}); path != good || err != nil {
		t.Errorf("%s, %v; want the user's own", path, err)
	}
	for _, path := range []string{bad, dir, filepath.Join(dir, "missing")} {
		if _, err := c.Kernel(t.Context(), KernelRequest{Initrd: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("initrd %s: %v", path, err)
		}
	}
}

// The host's real apt, sent to a proxy that is not there.
func TestFetchWithoutNetwork(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("no apt on this host")
	}
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	t.Setenv("https_proxy", "http://127.0.0.1:9")
	a := &apt{state: t.TempDir()}
	_, err := a.Download(t.Context(), "busybox-static", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "is the network up") {
		t.Errorf("%v, want an error that asks about the network", err)
	}
}

func TestParseDepends(t *testing.T) {
	record := "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.1), aa|bb, kmod(>=1), Evil;rm\nDescription: x\n"
	got := strings.Join(parseDepends([]byte(record)), " ")
	if want := "linux-image-6.1.0-9-cloud-amd64 aa kmod"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
