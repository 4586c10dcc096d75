package testvm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
)

// Disk returns the path of a raw ext4 disk with a small Debian on it: bash, python3, git, curl, fio, iperf3, stress-ng
// and certificates, the user sandbox (uid 1000, /home/sandbox) and a /workspace of that user's. There is no init: the
// guest agent is PID 1. All tests share the file, so attach it read-only or with a throw-away overlay (QEMU's
// snapshot=on); [WritableDisk] is for the others.
//
// The first call on a machine builds it, which takes about a minute and a network. Where it cannot be built for want
// of tools or network, the test ends as [Require] says.
func Disk(t testing.TB) string {
	t.Helper()
	cache, err := image.OpenCache("")
	if err != nil {
		t.Fatal(err)
	}
	ctx := image.WithProgress(t.Context(), func(s string) { t.Log(s) })
	path, err := DiskIn(ctx, cache, func(s string) { t.Log(s) })
	if err != nil {
		Missing(t, "no test disk: %v", err)
	}
	return path
}

// DiskIn is [Disk] for whoever has no test yet.
func DiskIn(ctx context.Context, cache *image.Cache, log func(string)) (string, error) {
	return tests.Disk(ctx, cache, log)
}

// WritableDisk returns a copy of [Disk] that belongs to the test alone. Holes stay holes.
func WritableDisk(t testing.TB) string {
	t.Helper()
	source, path := Disk(t), filepath.Join(t.TempDir(), diskName)
	out, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", "--reflink=auto", source, path).CombinedOutput()
	if err != nil {
		t.Fatalf("copy the test disk: %v: %s", err, out)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	diskName  = "disk.ext4"
	diskSuite = "bookworm"
)

// Debian is a small Debian on a disk, without documentation and translations.
type Debian struct {
	Packages []string
	Size     string // of the file system, as mke2fs has it: "1G". What is free takes no room on the host
	// Customize is a shell script that runs in the finished tree, whose path is $1.
	Customize string
}

// tests is what [Disk] is; two thirds of it are free.
var tests = Debian{
	Packages: []string{
		"bash", "ca-certificates", "curl", "fio", "git", "iperf3", "iproute2", "iputils-ping", "openssh-client", "procps", "python3", "stress-ng",
	},
	Size:      "1G",
	Customize: customize,
}

// left out: documentation, translations, and what packages leave behind for package managers.
var excluded = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*", "/usr/share/bug/*",
	"/usr/share/X11/*", "/usr/share/gitweb/*",
}

// customize runs in the finished tree, whose path is $1.
const customize = `set -e
chroot "$1" useradd --create-home --uid 1000 --user-group --shell /bin/bash sandbox
install -d -o 1000 -g 1000 "$1/workspace"
rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/machine-id"
: > "$1/etc/resolv.conf"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n' > "$1/etc/hosts"
rm -rf "$1"/var/cache/* "$1"/var/log/*`

// pack turns the tree in root.tar into a disk. Its ids count only for who is root, or root of a user namespace.
const pack = `set -e
cd "$1"
mkdir root
tar -x --numeric-owner --exclude './dev/*' -f root.tar -C root
mke2fs -q -t ext4 -m 0 -J size=4 -L voidbox-test -d root ` + diskName + ` "$2"
rm -rf root root.tar
chmod 0444 ` + diskName

// Disk returns the path of the raw ext4 image, which must not be written to. It is built unless the cache holds it.
func (d Debian) Disk(ctx context.Context, cache *image.Cache, log func(string)) (string, error) {
	recipe := strings.Join([]string{diskSuite, d.Size, strings.Join(d.Packages, ","), strings.Join(excluded, ","), d.Customize, pack}, "\n")
	sum := sha256.Sum256([]byte(recipe))
	dir, err := cache.Entry(ctx, "testvm", hex.EncodeToString(sum[:16]), func(ctx context.Context, dir string) error {
		log("building a disk from Debian packages (about a minute, once)")
		return d.build(ctx, dir)
	})
	return filepath.Join(dir, diskName), err
}

// Tar returns the path of the tree as an archive, as a layer of an image is made of. It is built unless the cache holds it.
func (d Debian) Tar(ctx context.Context, cache *image.Cache, log func(string)) (string, error) {
	recipe := strings.Join([]string{"tar", diskSuite, strings.Join(d.Packages, ","), strings.Join(excluded, ","), d.Customize}, "\n")
	sum := sha256.Sum256([]byte(recipe))
	dir, err := cache.Entry(ctx, "testvm", hex.EncodeToString(sum[:16]), func(ctx context.Context, dir string) error {
		log("building a tree of Debian packages (two minutes, once)")
		_, err := d.bootstrap(ctx, filepath.Join(dir, tarName))
		return err
	})
	return filepath.Join(dir, tarName), err
}

const tarName = "root.tar"

// bootstrap writes the tree to an archive, and returns the program that did it.
func (d Debian) bootstrap(ctx context.Context, tar string) (string, error) {
	bootstrap, err := tool("mmdebstrap", "mmdebstrap uidmap")
	if err != nil {
		return "", err
	}
	args := []string{"--quiet", "--variant=minbase", "--include=" + strings.Join(d.Packages, ","), "--customize-hook=" + d.Customize,
		`--aptopt=Acquire::Languages "none"`}
	for _, pattern := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	return bootstrap, run(ctx, bootstrap, append(args, diskSuite, tar)...)
}

func (d Debian) build(ctx context.Context, dir string) error {
	if _, err := tool("mke2fs", "e2fsprogs"); err != nil {
		return err
	}
	bootstrap, err := d.bootstrap(ctx, filepath.Join(dir, tarName))
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return run(ctx, "sh", "-c", pack, "sh", dir, d.Size)
	}
	// Without root, another user id of ours plays root, who has to be able to write here.
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	err = run(ctx, bootstrap, "--unshare-helper", "sh", "-c", pack, "sh", dir, d.Size)
	return errors.Join(err, os.Chmod(dir, 0o755))
}

func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, "nice", append([]string{name}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil && strings.Contains(out.String(), "No space left on device") {
		err = syscall.ENOSPC
	}
	if err != nil {
		text := strings.TrimSpace(out.String())
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, text[max(0, len(text)-1000):])
	}
	return nil
}
