package sshagent

import "github.com/voidbox-run/voidbox/internal/confine"

// maxFiles is room for a guest's connections, and as many to the user's agent.
const maxFiles = 3 * maxConnections

// confineProcess takes away from this process what it does not need: see package confine. It may go on to accept, and to connect to
// unix sockets where it has an agent to ask; it cannot open a file, reach a network, execute or trace anything.
func confineProcess(connects bool) error {
	return confine.Process(confine.Grants{Files: maxFiles}, func(bool) error { return restrictCalls(connects) })
}
