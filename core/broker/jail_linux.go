package broker

import (
	"github.com/landlock-lsm/go-landlock/landlock"

	"github.com/voidbox-run/voidbox/internal/confine"
)

// confineProcess takes away from this process what it does not need: see package confine. It may go on to listen, to connect, and to
// read the resolver's files; it cannot open another file, execute or trace anything.
func confineProcess(socketDir string) error {
	return confine.Process(confine.Grants{
		Dirs: []string{socketDir}, Files: maxFiles, TCP: true, Paths: []landlock.Rule{landlock.ROFiles(resolved(resolverFiles)...)},
	}, restrictCalls)
}
