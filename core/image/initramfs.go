package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// Places in the initramfs that the guest agent reads.
const (
	// BootConfigPath holds the boot configuration that [BootSegment] was given. Only root may read it, and the agent
	// unlinks it.
	BootConfigPath = "/run/voidbox/boot.json"
	// ModulesListPath lists the modules to load: absolute paths in the initramfs, one a line, in load order. The file
	// is there, and empty, for a kernel without modules.
	ModulesListPath = "/etc/voidbox/modules.list"
)

// Contents says what an initramfs holds.
type Contents int

const (
	// Base is a system that needs no disk: the agent, busybox, bash, the sandbox user.
	Base Contents = iota
	// Minimal is the agent and the modules, for a VM whose root file system is a disk.
	Minimal
)

// AgentName is the file name of the guest agent, which is looked for beside the running program.
const AgentName = "voidbox-guest-agent"

// InitramfsSpec says what goes into the base segment.
type InitramfsSpec struct {
	Kernel   Kernel
	Agent    string // path of the static guest agent; "" is AgentName beside the running program
	Contents Contents
}

// Initramfs returns the path of the base segment for spec, an uncompressed newc archive padded to 512 bytes, and builds
// it unless the cache holds it. It is not compressed, because unpacking costs a guest more than reading the bytes costs
// the host (docs/benchmarks.md). A kernel with an initramfs of the user's own gets that one.
func (c *Cache) Initramfs(ctx context.Context, spec InitramfsSpec) (path string, err error) {
	if spec.Kernel.Initrd != "" {
		return spec.Kernel.Initrd, nil
	}
	in, err := c.gather(ctx, spec)
	if err != nil {
		return "", err
	}
	key, err := c.remember(in.rest(), in.files(), in.key)
	if err != nil {
		return "", fmt.Errorf("initramfs: %w", err)
	}
	dir, err := c.Entry(ctx, "initramfs", key, func(ctx context.Context, dir string) error {
		progress(ctx, "building the initramfs for kernel %s", spec.Kernel.Release)
		tree, err := in.tree(ctx)
		if err != nil {
			return err
		}
		return writeSegment(filepath.Join(dir, segmentName), tree)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, segmentName), nil
}

const segmentName = "initrd.img"

func writeSegment(path string, t *tree) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(t.write(f), f.Close())
}

// inputs are the files that an initramfs is made of.
type inputs struct {
	contents   Contents
	release    string
	agent      string
	modulesDir string
	modules    []string // below modulesDir, in load order
	busybox    string   // Base only
	bash       string   // Base only; "" where none could be had
}

func (c *Cache) gather(ctx context.Context, spec InitramfsSpec) (in inputs, err error) {
	in = inputs{contents: spec.Contents, release: spec.Kernel.Release, modulesDir: spec.Kernel.ModulesDir}
	if in.release == "" {
		return in, errors.New("initramfs: the kernel has no release: it must come from Cache.Kernel")
	}
	if in.agent, err = findAgent(spec.Agent); err != nil {
		return in, err
	}
	if in.modulesDir != "" {
		if in.modules, err = guestModules(in.modulesDir); err != nil {
			return in, err
		}
	}
	if spec.Contents == Minimal {
		return in, nil
	}
	if in.busybox, err = c.Busybox(ctx); err != nil {
		return in, err
	}
	in.bash, err = c.bash(ctx)
	return in, err
}

// layoutVersion is part of the key; it changes with what this package puts around its inputs.
const layoutVersion = "1"

// rest is all that decides the archive's bytes but the contents of its files.
func (in *inputs) rest() string {
	return fmt.Sprintf("%s %d %q %q\n", layoutVersion, in.contents, in.release, in.modules)
}

// files are those that go into the archive, "" where one is missing.
func (in *inputs) files() []string {
	files := []string{in.agent, in.busybox, in.bash}
	for _, m := range in.modules {
		files = append(files, filepath.Join(in.modulesDir, filepath.FromSlash(m)))
	}
	return files
}

// key is the hash of all that decides the archive's bytes. It reads every file, so ask [Cache.remember] first.
func (in *inputs) key() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, in.rest())
	for _, file := range in.files() {
		if err := hashFile(h, file); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength], nil
}

// hashFile adds the length and the content of a file, so that no two lists of files look alike. "" adds a mark.
func hashFile(h hash.Hash, path string) error {
	if path == "" {
		fmt.Fprintln(h, "none")
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintln(h, info.Size())
	n, err := io.Copy(h, f)
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%s changed while it was read", path)
	}
	return err
}
