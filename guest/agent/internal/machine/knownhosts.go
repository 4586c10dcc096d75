package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// knownHostsFile is read by every ssh client (ssh_config(5), GlobalKnownHostsFile).
const knownHostsFile = "/etc/ssh/ssh_known_hosts"

// WriteKnownHosts adds lines to those that the image below root knows hosts by. A root that cannot be written stays without.
func WriteKnownHosts(root string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	path := filepath.Join(root, knownHostsFile)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return errors.New(knownHostsFile + " is no file that lines could be added to")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return writable(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return writable(err)
	}
	_, err = f.WriteString("\n# Written by voidbox.\n" + strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}
