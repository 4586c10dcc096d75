package rootfs

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where Linux distributions keep the libraries of x86-64.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// CopyLibraries adds what a dynamically linked program of the host needs to start: its loader and its libraries, each at
// its own place. A program that is static, or no program at all, needs none. Test binaries under the race detector are
// dynamic.
func (a *Archive) CopyLibraries(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return nil // a script, or data
	}
	defer f.Close()
	loader, err := interpreter(f)
	if err != nil || loader == "" {
		return err
	}
	if err := a.copyOnce(loader); err != nil {
		return err
	}
	return a.copyImports(f, program)
}

func (a *Archive) copyImports(f *elf.File, program string) error {
	names, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("libraries of %s: %w", program, err)
	}
	for _, name := range names {
		library, err := findLibrary(name)
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		if a.Has(library) {
			continue
		}
		if err := a.copyOnce(library); err != nil {
			return err
		}
		l, err := elf.Open(library)
		if err != nil {
			return fmt.Errorf("library %s: %w", library, err)
		}
		err = a.copyImports(l, library)
		_ = l.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) copyOnce(file string) error {
	if a.Has(file) {
		return nil
	}
	return a.Copy(file, file)
}

func interpreter(f *elf.File) (string, error) {
	section := f.Section(".interp")
	if section == nil {
		return "", nil
	}
	data, err := section.Data()
	return strings.TrimRight(string(data), "\x00"), err
}

func findLibrary(name string) (string, error) {
	for _, dir := range libraryDirs {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("library %s is in none of %s", name, strings.Join(libraryDirs, ", "))
}
