package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// program is a static program of the base image: the host's where it has it, else out of a Debian package.
type program struct {
	name  string   // file name in the cache
	pkg   string   // the package that holds it
	paths []string // where host and package have it
}

var (
	busyboxProgram = program{"busybox", "busybox-static", []string{"bin/busybox", "usr/bin/busybox"}}
	bashProgram    = program{"bash", "bash-static", []string{"bin/bash-static", "usr/bin/bash-static"}}
)

// Busybox returns the path of a static busybox: the host's where it has one, else out of a Debian package.
func (c *Cache) Busybox(ctx context.Context) (string, error) {
	file, err := c.program(ctx, busyboxProgram)
	var unavailable *PackageError
	if errors.As(err, &unavailable) {
		return "", fmt.Errorf("the base image needs a static busybox: %w; install one with: sudo apt-get install busybox-static", err)
	}
	return file, err
}

// bash returns "" where none can be had: then the base image has busybox's shell only.
func (c *Cache) bash(ctx context.Context) (string, error) {
	file, err := c.program(ctx, bashProgram)
	var unavailable *PackageError
	if errors.As(err, &unavailable) {
		progress(ctx, "the base image will have no bash: %v", err)
		return "", nil
	}
	return file, err
}

func (c *Cache) program(ctx context.Context, p program) (string, error) {
	for _, at := range p.paths {
		file := filepath.Join(c.host, filepath.FromSlash(at))
		if checkStatic(file) == nil {
			return file, nil
		}
	}
	dir, err := c.Entry(ctx, "packages", p.pkg, func(ctx context.Context, dir string) error {
		progress(ctx, "fetching %s (about 1 MB, once)", p.pkg)
		err := c.fetchPackage(ctx, p.pkg, dir, func(name string) (string, bool) {
			for _, at := range p.paths {
				if name == at {
					return p.name, true
				}
			}
			return "", false
		})
		if err != nil {
			return err
		}
		return checkStatic(filepath.Join(dir, p.name))
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, p.name), nil
}

// applets asks busybox for the paths of the commands that it stands in for: "bin/ls", "usr/bin/awk".
func applets(ctx context.Context, busybox string) ([]string, error) {
	out, err := exec.CommandContext(ctx, busybox, "--list-full").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its applets: %w", busybox, err)
	}
	var names []string
	for _, name := range strings.Fields(string(out)) {
		dir := path.Dir(name)
		if known := dir == "bin" || dir == "sbin" || dir == "usr/bin" || dir == "usr/sbin"; known && path.Base(name) != "init" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if len(names) == 0 {
		return nil, fmt.Errorf("%s lists no applets", busybox)
	}
	return names, nil
}

// Small files of the base image.
var baseFiles = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" +
		"sandbox:x:1000:1000:sandbox:/home/sandbox:%s\n" +
		"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"etc/group":       "root:x:0:\ntty:x:5:\nsandbox:x:1000:\nnogroup:x:65534:\n",
	"etc/hosts":       "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n",
	"etc/resolv.conf": "",
	"etc/os-release":  "ID=voidbox\nNAME=VoidBox\nPRETTY_NAME=\"VoidBox base image\"\n",
	"etc/profile":     "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
	"etc/shells":      "/bin/sh\n/bin/bash\n",
}

// tree lays the inputs out as the guest will see them.
func (in *inputs) tree(ctx context.Context) (*tree, error) {
	t := &tree{}
	for _, dir := range []string{"dev", "proc", "sys", "run", "etc", "etc/voidbox", "mnt"} {
		t.dir(dir, 0o755, rootUser)
	}
	t.dir("tmp", 0o1777, rootUser)
	t.dir("root", 0o700, rootUser)
	// Without a console node init has no standard output.
	t.charDevice("dev/console", 0o600, 5, 1)
	t.charDevice("dev/null", 0o666, 1, 3)
	if err := in.addModules(t); err != nil {
		return nil, err
	}
	if in.contents == Base {
		if err := in.addBase(ctx, t); err != nil {
			return nil, err
		}
	}
	agent, err := os.ReadFile(in.agent)
	if err != nil {
		return nil, err
	}
	t.file("init", 0o755, agent)
	return t, nil
}

func (in *inputs) addModules(t *tree) error {
	root := "lib/modules/" + in.release
	var list strings.Builder
	for _, m := range in.modules {
		data, err := ReadModule(filepath.Join(in.modulesDir, filepath.FromSlash(m)))
		if err != nil {
			return err
		}
		name := path.Join(root, unpackedName(m))
		t.parents(name)
		t.file(name, 0o644, data)
		list.WriteString("/" + name + "\n")
	}
	t.file(strings.TrimPrefix(ModulesListPath, "/"), 0o644, []byte(list.String()))
	return nil
}

// parents adds the directories above name that are not there yet.
func (t *tree) parents(name string) {
	parts := strings.Split(name, "/")
	for i := 1; i < len(parts); i++ {
		t.dir(strings.Join(parts[:i], "/"), 0o755, rootUser)
	}
}

func (in *inputs) addBase(ctx context.Context, t *tree) error {
	for _, dir := range []string{"bin", "sbin", "usr", "usr/bin", "usr/sbin", "usr/local", "usr/local/bin", "var", "opt", "home"} {
		t.dir(dir, 0o755, rootUser)
	}
	t.dir("var/tmp", 0o1777, rootUser)
	t.dir("home/sandbox", 0o755, sandboxUser)
	t.dir("workspace", 0o755, sandboxUser)
	shell := "/bin/sh"
	if in.bash != "" {
		shell = "/bin/bash"
		bash, err := os.ReadFile(in.bash)
		if err != nil {
			return err
		}
		t.file("bin/bash", 0o755, bash)
		t.link("usr/bin/bash", "/bin/bash")
	}
	names := make([]string, 0, len(baseFiles))
	for name := range baseFiles {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text := baseFiles[name]
		if name == "etc/passwd" {
			text = fmt.Sprintf(text, shell)
		}
		t.file(name, 0o644, []byte(text))
	}
	return in.addBusybox(ctx, t)
}

func (in *inputs) addBusybox(ctx context.Context, t *tree) error {
	busybox, err := os.ReadFile(in.busybox)
	if err != nil {
		return err
	}
	t.file("bin/busybox", 0o755, busybox)
	links, err := applets(ctx, in.busybox)
	if err != nil {
		return err
	}
	for _, name := range links {
		t.link(name, "/bin/busybox")
	}
	return nil
}
