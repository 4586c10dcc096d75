package shim

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// runtimePrefix begins the names of runtime directories: short, since the path of a socket has 103 bytes (sockaddr_un, with Darwin's).
const runtimePrefix = "voidbox-shim-"

// maxParent is how long the path above a runtime directory may be.
const maxParent = 103 - len("/"+runtimePrefix+"4294967295/"+socketName)

// newRuntimeDir makes a private directory for a socket: in the user's own, if there is one with a path short enough.
func newRuntimeDir() (string, error) {
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()} {
		if filepath.IsAbs(dir) && len(dir) <= maxParent && unix.Access(dir, unix.W_OK) == nil {
			return os.MkdirTemp(dir, runtimePrefix) // mode 0700
		}
	}
	return os.MkdirTemp("/tmp", runtimePrefix)
}

// removeRuntimeDir removes what newRuntimeDir made, and nothing else that a document may name.
func removeRuntimeDir(path string) {
	if filepath.IsAbs(path) && strings.HasPrefix(filepath.Base(path), runtimePrefix) {
		_ = os.Remove(filepath.Join(path, socketName))
		_ = os.Remove(path)
	}
}
