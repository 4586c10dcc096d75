package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// AgentError says what is wrong with the guest agent's binary.
type AgentError struct {
	Path string
	Err  error
}

func (e *AgentError) Error() string {
	return fmt.Sprintf("guest agent %s: %v; build it with `make`, or: CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -tags grpcnotrace -o %s ./guest/agent",
		e.Path, e.Err, AgentName)
}

func (e *AgentError) Unwrap() error { return e.Err }

// findAgent returns the path of a binary that can be PID 1: one that needs no loader and no library, for the
// initramfs has none, and the kernel would panic without saying why.
func findAgent(path string) (string, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", &AgentError{AgentName, err}
		}
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		path = filepath.Join(filepath.Dir(self), AgentName)
	}
	if err := checkStatic(path); err != nil {
		return "", &AgentError{path, err}
	}
	return path, nil
}

// checkStatic accepts a static ELF executable for x86-64.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return missing.Err
	}
	if err != nil {
		return fmt.Errorf("not a program (%w)", err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("built for %v, the guest is x86-64", f.Machine)
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return fmt.Errorf("not an executable (%v)", f.Type)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("dynamically linked, the guest has no loader")
		}
	}
	return nil
}
