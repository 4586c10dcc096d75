package jail

import (
	"fmt"

	"github.com/voidbox-run/voidbox/internal/confine"
)

// Grants are what a confined process keeps.
type Grants struct {
	// Dirs are the directories of its own sockets, which it may list and remove.
	Dirs []string
	// Requests are the ioctls that it still makes.
	Requests []uint32
	// Sockets are the address families that it still makes sockets of, beside AF_UNIX.
	Sockets []uint32
}

// maxFiles is room for what is open, and for as many connections as the vsock device admits.
const maxFiles = 4096 + 1024

// Process confines every thread of this process, for good.
func Process(g Grants) error {
	return confine.Process(confine.Grants{Dirs: g.Dirs, Files: maxFiles}, func(landlocked bool) error {
		return processFilter(landlocked, g).InstallProcess()
	})
}

// VCPU narrows the calling thread, which the caller has locked and never unlocks, to running a vCPU. requests are the ioctls that
// this takes.
func VCPU(requests []uint32) error {
	if err := vcpuFilter(requests).InstallThread(); err != nil {
		return fmt.Errorf("restrict the system calls of a vCPU: %w", err)
	}
	return nil
}
