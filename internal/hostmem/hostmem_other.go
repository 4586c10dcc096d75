//go:build !linux

package hostmem

import "math"

// Host is the machine that this process runs on.
type Host struct{}

// Local is the machine that this process runs on.
func Local() Host { return Host{} }

// Available knows of no bound on systems other than Linux.
func (Host) Available() (bytes uint64, bound string, err error) { return math.MaxUint64, "", nil }
