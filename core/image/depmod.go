package image

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// writeModulesDep does depmod's work for a kernel package, which ships without modules.dep since Debian makes it at
// installation. Every module names what it needs in its .modinfo section, so no symbol has to be resolved.
func writeModulesDep(modulesDir string) error {
	tree, err := scanModules(modulesDir)
	if err != nil {
		return err
	}
	var lines []string
	for _, file := range tree.files {
		order, err := tree.closure([]string{moduleName(file)})
		if err != nil {
			return err
		}
		// The form of depmod(8): all that is needed, directly or not, what must load first last.
		line := file + ":"
		for i := len(order) - 2; i >= 0; i-- {
			line += " " + order[i]
		}
		lines = append(lines, line+"\n")
	}
	sort.Strings(lines)
	return os.WriteFile(filepath.Join(modulesDir, "modules.dep"), []byte(strings.Join(lines, "")), 0o644)
}

// scanModules builds the tree, with direct dependencies only, from the module files themselves.
func scanModules(modulesDir string) (*moduleTree, error) {
	tree := newModuleTree()
	names := map[string][]string{} // path -> names of modules that it needs
	err := filepath.WalkDir(modulesDir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(d.Name(), ".ko") {
			return err
		}
		rel, err := filepath.Rel(modulesDir, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		tree.files[moduleName(rel)] = rel
		if names[rel], err = moduleDepends(file); err != nil {
			return fmt.Errorf("module %s: %w", file, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for file, needs := range names {
		tree.deps[file] = nil
		for _, name := range needs {
			dep, ok := tree.files[name]
			if !ok {
				return nil, fmt.Errorf("module %s needs %s, which does not exist", file, name)
			}
			tree.deps[file] = append(tree.deps[file], dep)
		}
	}
	return tree, nil
}

// moduleDepends returns the names that the "depends" field of a module's .modinfo lists.
func moduleDepends(file string) ([]string, error) {
	data, err := ReadModule(file)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, field := range strings.Split(string(info), "\x00") {
		list, ok := strings.CutPrefix(field, "depends=")
		if !ok || list == "" {
			continue
		}
		names := strings.Split(list, ",")
		for i, name := range names {
			names[i] = strings.ReplaceAll(name, "-", "_")
		}
		return names, nil
	}
	return nil, nil
}
