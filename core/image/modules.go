package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// requiredModules are those without which no VM works: the transport of every device, and the way to the agent.
var requiredModules = []string{"virtio_mmio", "vmw_vsock_virtio_transport"}

// wantedModules are loaded where the kernel has them. A VM that lacks one lacks the device or file system behind it,
// and the agent says so when somebody asks for it. libcrc32c (of erofs) asks for crc32c by the name of the algorithm,
// which modules.dep does not know, hence crc32c_generic.
var wantedModules = []string{
	"virtio_console", "virtio_rng", "virtio_blk", "virtio_net", "virtio_balloon", "button",
	"ext4", "crc32c_generic", "erofs", "overlay", "fuse", "virtiofs",
}

// Bounds on what a modules directory may hold: a distribution's has about 4,000 modules, its modules.dep 1 MB.
const (
	maxDepBytes    = 16 << 20
	maxModules     = 64 << 10
	maxModuleBytes = 64 << 20
)

// moduleTree is what modules.dep and modules.builtin say.
type moduleTree struct {
	files   map[string]string   // module name -> path in the tree
	deps    map[string][]string // path -> paths that it needs
	builtin map[string]bool     // module name
}

func newModuleTree() *moduleTree {
	return &moduleTree{files: map[string]string{}, deps: map[string][]string{}, builtin: map[string]bool{}}
}

// ModuleClosure returns the files below modulesDir (a lib/modules/<release>) that hold the named modules and all that
// these need, each once, in an order in which they load. Names may be spelled with '-' or '_'. What is built into the
// kernel needs no file. A name that the kernel does not have is a [*NoModuleError].
func ModuleClosure(modulesDir string, names ...string) ([]string, error) {
	tree, err := readModuleTree(modulesDir)
	if err != nil {
		return nil, err
	}
	paths, err := tree.closure(names)
	if err != nil {
		return nil, fmt.Errorf("modules in %s: %w", modulesDir, err)
	}
	for i, p := range paths {
		paths[i] = filepath.Join(modulesDir, filepath.FromSlash(p))
	}
	return paths, nil
}

// NoModuleError says that a kernel has a module neither as a file nor built in.
type NoModuleError struct{ Name string }

func (e *NoModuleError) Error() string { return "the kernel has no module " + e.Name }

// moduleName returns the name under which the kernel knows the module in file: "kernel/fs/a-b.ko.xz" is a_b.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

func readModuleTree(dir string) (*moduleTree, error) {
	dep, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w; create it with: sudo depmod %s", err, filepath.Base(dir))
	}
	defer dep.Close()
	tree, err := parseModulesDep(dep)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dep.Name(), err)
	}
	builtin, err := os.Open(filepath.Join(dir, "modules.builtin"))
	if errors.Is(err, fs.ErrNotExist) {
		return tree, nil
	}
	if err != nil {
		return nil, err
	}
	defer builtin.Close()
	for lines := bufio.NewScanner(io.LimitReader(builtin, maxDepBytes)); lines.Scan(); {
		tree.builtin[moduleName(lines.Text())] = true
	}
	return tree, nil
}

// parseModulesDep reads lines of the form "path: path path ...". A path must stay inside the tree.
func parseModulesDep(r io.Reader) (*moduleTree, error) {
	tree := newModuleTree()
	lines := bufio.NewScanner(io.LimitReader(r, maxDepBytes))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		file, rest, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("line %d: no colon after the module", n)
		}
		needs := strings.Fields(rest)
		for _, p := range append([]string{file}, needs...) {
			if !filepath.IsLocal(p) || path.Clean(p) != p || !strings.Contains(path.Base(p), ".ko") {
				return nil, fmt.Errorf("line %d: %q is not the path of a module below the directory", n, p)
			}
		}
		if len(tree.deps) >= maxModules {
			return nil, fmt.Errorf("line %d: more than %d modules", n, maxModules)
		}
		tree.files[moduleName(file)], tree.deps[file] = file, needs
	}
	return tree, lines.Err()
}

// closure walks depth first, so that what a module needs comes before it.
func (t *moduleTree) closure(names []string) ([]string, error) {
	w := walk{tree: t, state: map[string]visit{}}
	for _, name := range names {
		name = strings.ReplaceAll(name, "-", "_")
		file, ok := t.files[name]
		if !ok && t.builtin[name] {
			continue
		}
		if !ok {
			return nil, &NoModuleError{name}
		}
		if err := w.visit(file); err != nil {
			return nil, err
		}
	}
	return w.order, nil
}

func (t *moduleTree) has(name string) bool {
	_, ok := t.files[name]
	return ok || t.builtin[name]
}

type visit int

const (
	entered visit = iota + 1
	left
)

type walk struct {
	tree  *moduleTree
	state map[string]visit
	order []string
}

// maxDepth bounds the recursion; real chains are under ten long.
const maxDepth = 256

func (w *walk) visit(file string) error { return w.visitAt(file, 0) }

func (w *walk) visitAt(file string, depth int) error {
	switch w.state[file] {
	case left:
		return nil
	case entered:
		return fmt.Errorf("%s needs itself", file)
	}
	needs, known := w.tree.deps[file]
	if !known {
		return fmt.Errorf("modules.dep has no line for %s, which another module needs", file)
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: a chain of more than %d modules", file, maxDepth)
	}
	w.state[file] = entered
	// depmod lists what must load first last.
	for i := len(needs) - 1; i >= 0; i-- {
		if err := w.visitAt(needs[i], depth+1); err != nil {
			return err
		}
	}
	w.state[file] = left
	w.order = append(w.order, file)
	return nil
}

// guestModules returns the paths, relative to modulesDir, of what a guest loads, in order.
func guestModules(modulesDir string) ([]string, error) {
	tree, err := readModuleTree(modulesDir)
	if err != nil {
		return nil, err
	}
	names := append([]string(nil), requiredModules...)
	for _, name := range wantedModules {
		if tree.has(name) {
			names = append(names, name)
		}
	}
	files, err := tree.closure(names)
	if err != nil {
		return nil, fmt.Errorf("modules in %s: %w; choose another kernel", modulesDir, err)
	}
	return files, nil
}
