package jail

import "github.com/voidbox-run/voidbox/internal/confine"

// Grants are what a confined process keeps.
type Grants struct {
	// Dirs are the directories of its own sockets, which it may list and remove.
	Dirs []string
}

// maxFiles is room for ten thousand connections, and for the flows of the other protocols.
const maxFiles = 32768

// Process confines every thread of this process, for good. Landlock's rules for TCP are no use here, since any port may be the
// guest's destination.
func Process(g Grants) error {
	return confine.Process(confine.Grants{Dirs: g.Dirs, Files: maxFiles, TCP: true}, restrictCalls)
}
