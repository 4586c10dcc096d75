package programs

import (
	"io"
	"syscall"
	"time"
)

// DefaultMemory is what a process may hold when nobody sets a limit. It is small beside the machine's memory, which is mostly
// for files, since a machine runs many processes and the host's memory pays for all.
const DefaultMemory = 32 << 20

// Limits bounds a process and, since it is handed down, what the process starts. Zero means no limit of one's own.
type Limits struct {
	MemoryBytes uint64        // what it holds: variables, command substitutions, input that it collects
	OpenFiles   uint64        // descriptors, the standard ones included
	Processes   uint64        // of the command that the process is a part of
	FileBytes   uint64        // how far a write reaches into a file
	CPUTime     time.Duration // time at which it is neither asleep nor waiting
}

// Memory is the bound on what the process holds.
func (l Limits) Memory() uint64 {
	if l.MemoryBytes == 0 {
		return DefaultMemory
	}
	return min(l.MemoryBytes, DefaultMemory)
}

// readAll collects an input.
func (p *Proc) readAll(r io.Reader) ([]byte, error) { return ReadAll(r, p.Limits.Memory()) }

// ReadAll is io.ReadAll up to a bound, beyond which the error is ENOMEM.
func ReadAll(r io.Reader, limit uint64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && uint64(len(b)) > limit {
		err = syscall.ENOMEM
	}
	return b, err
}
