package machine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ModulesList names the kernel modules to load, one path a line, in load order.
const ModulesList = "/etc/voidbox/modules.list"

// LoadModules loads the modules of a list. A module that fails does not keep the others from being loaded: the machine may
// do without its device. The error names all that failed. A list that does not exist is empty.
func LoadModules(list string) error {
	f, err := os.Open(list)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var failed []error
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		module := strings.TrimSpace(lines.Text())
		if module == "" || strings.HasPrefix(module, "#") {
			continue
		}
		if err := loadModule(module); err != nil {
			failed = append(failed, fmt.Errorf("load %s: %w", module, err))
		}
	}
	return errors.Join(append(failed, lines.Err())...)
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) {
		return nil // loaded, or built in
	}
	return err
}
