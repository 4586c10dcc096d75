package tree

import (
	"io/fs"
	"time"
)

// Temporary begins the names of files that are not whole yet.
const Temporary = ".voidbox-"

// Limits of an archive.
const (
	maxDepth = 250  // of directories; each level holds a descriptor
	maxPath  = 8192 // bytes of a path, or of a link's target
)

// Stats counts what was carried.
type Stats struct {
	Files   uint64 // files, directories and links
	Bytes   uint64 // of content
	Skipped uint64 // sockets, devices and FIFOs
}

// Owner is to whom files are given.
type Owner struct{ UID, GID int }

// Options says how an archive is unpacked.
type Options struct {
	Owner *Owner // nil means whoever unpacks
	// Privileged keeps setuid and setgid bits. Without it they are taken off: whoever unpacks would lend his own rights to what
	// somebody else has written.
	Privileged bool
	// MaxFiles and MaxBytes bound what is made, if they are not zero. An archive of more is errdef.ErrExhausted.
	MaxFiles, MaxBytes uint64
	// Accessible lets the owner read, write and enter everything, whatever the archive says: somebody has to be able to remove it again.
	Accessible bool
}

// mode returns the bits that a file gets.
func (o Options) mode(m fs.FileMode) fs.FileMode {
	keep := fs.ModePerm | fs.ModeSticky
	if o.Privileged {
		keep |= fs.ModeSetuid | fs.ModeSetgid
	}
	if o.Accessible && m.IsDir() {
		m |= 0o700
	} else if o.Accessible {
		m |= 0o600
	}
	return m & keep
}

// wholeSeconds is a time as the archive has it.
func wholeSeconds(t time.Time) time.Time { return t.Truncate(time.Second) }
