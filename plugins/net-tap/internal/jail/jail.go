//go:build linux

package jail

import "github.com/voidbox-run/voidbox/internal/confine"

// maxFiles is room for queues, the host's connections and two links of the most lanes.
const maxFiles = 2048

// Process confines every thread of this process, for good. dir is the directory of its own socket.
func Process(dir string) error {
	return confine.Process(confine.Grants{Dirs: []string{dir}, Files: maxFiles}, restrictCalls)
}
