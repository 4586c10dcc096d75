// Package share is the contract of what lends host directories to a guest. One process serves one VM, and is the only one
// that opens the shared files.
//
// File data never travels here: Attach says where the VMM fetches the link, a pair of rings in shared memory.
package share

import "context"

// CapHandles names the ability to save and load handles, which snapshots need.
const CapHandles = "handles"

// Share lends directories to one VM.
type Share interface {
	// Attach opens every mount's root and makes the share's end of a link; it returns the socket where the VMM's device
	// fetches the link. A second attachment is errdef.ErrState.
	Attach(ctx context.Context, a Attachment) (socketPath string, err error)
	// SaveHandles returns the open handles as opaque, versioned bytes. Capability CapHandles.
	SaveHandles(ctx context.Context) ([]byte, error)
	// LoadHandles restores them and returns how many no longer resolve; those are stale. Capability CapHandles.
	LoadHandles(ctx context.Context, state []byte) (stale int, err error)
	// Stats reads counters by dotted name, such as ops.read.
	Stats(ctx context.Context) (map[string]uint64, error)
}

// Attachment lists the mounts of the VM's one file-system device.
type Attachment struct {
	Mounts        []Mount
	RequestQueues int // 0 means 1
}

// Mount is one host directory or file.
type Mount struct {
	HostPath  string // absolute
	Tag       string // name of the mount below the device's root
	Mode      Mode
	IDMap     *IDMap // nil leaves owners as they are
	Cache     Cache
	UpperPath string // upper directory for mode Overlay; absolute
}

// Mode says who may write. The zero value is read-only.
type Mode int

// Modes.
const (
	ReadOnly Mode = iota
	ReadWrite
	Overlay // writes go to the upper directory
)

// Cache says how long a guest may trust what it has read.
type Cache string

// Cache policies. The empty one means CacheAuto.
const (
	CacheAuto   Cache = "auto"   // open-to-close consistency with the host
	CacheAlways Cache = "always" // nobody else changes the files
)

// IDMap maps one host user to one guest user, and back.
type IDMap struct {
	HostUID, HostGID   uint32
	GuestUID, GuestGID uint32
}
