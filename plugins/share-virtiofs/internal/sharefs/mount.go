//go:build linux

package sharefs

import (
	"sync"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
)

// Mount is one directory or file that is shared.
type Mount struct {
	// Tag is its name below the device's root.
	Tag string
	// Root stands for it, a descriptor of O_PATH; the file system owns it. With Lower it is the upper directory of an overlay.
	Root int
	// Lower stands for the directory that the guest sees and does not change; -1 where Root is all there is.
	Lower int
	// ReadOnly refuses every change.
	ReadOnly bool
	// Always tells that nobody but the guest changes the files.
	Always bool
	// IDs maps the host's user; nil leaves numbers as they are.
	IDs *IDs
}

// IDs maps one user and group of the host to one of the guest.
type IDs struct {
	HostUID, HostGID, GuestUID, GuestGID uint32
}

// nobody is the number of those who have none here (Documentation/admin-guide/sysctl/fs.rst, overflowuid).
const nobody = 65534

// mount is a Mount that is served.
type mount struct {
	Mount
	index uint32
	root  *node
	valid fuse.Timeout

	// overlay orders changes: an overlay's operations are several of the host's, which lookups must not see half of.
	// It is not used where there is no lower directory.
	overlay sync.RWMutex
}

const (
	autoTime   fuse.Timeout = 1
	alwaysTime fuse.Timeout = 24 * 60 * 60
)

func (m *mount) layered() bool { return m.Lower >= 0 }

// look and change hold the mount still for an operation that looks at it, or changes it.
func (m *mount) look() func() {
	if !m.layered() {
		return nothing
	}
	m.overlay.RLock()
	return m.overlay.RUnlock
}

func (m *mount) change() func() {
	if !m.layered() {
		return nothing
	}
	m.overlay.Lock()
	return m.overlay.Unlock
}

func nothing() {}

// toGuest maps an ID of the host. The guest's user must not appear as the owner of what is not its own.
func toGuest(id, host, guest uint32) uint32 {
	switch id {
	case host:
		return guest
	case guest:
		return nobody
	}
	return id
}

func (m *mount) guestUID(uid uint32) uint32 {
	if m.IDs == nil {
		return uid
	}
	return toGuest(uid, m.IDs.HostUID, m.IDs.GuestUID)
}

func (m *mount) guestGID(gid uint32) uint32 {
	if m.IDs == nil {
		return gid
	}
	return toGuest(gid, m.IDs.HostGID, m.IDs.GuestGID)
}
