package share

import (
	"fmt"
	"strconv"
	"strings"
)

// What a guest may think of a file and the host must not, stands in one extended attribute of the file: an owner that is not the
// host's user, a set-user-ID bit, a device. Guests neither see nor set attributes with the prefix.
//
// The host's user can read and set attributes only of what it may read and write. So a file with a record is readable and writable
// to its owner on the host, a directory searchable, too, and where the guest has taken that away the record says so.
const (
	HiddenPrefix = "user.voidbox."
	RecordName   = HiddenPrefix + "stat"
	MaxRecord    = 160
)

// SpecialBits are the bits of a mode that are never set on the host for a guest's sake.
const SpecialBits = 0o7000

// Record is what the attribute says. The zero value says nothing.
type Record struct {
	Has      Has
	UID, GID uint32
	Bits     uint32 // of SpecialBits
	Perm     uint32 // what is less than OwnerNeeds, while the host's mode is Perm and these
	Kind     uint32 // S_IFCHR, S_IFBLK, S_IFIFO or S_IFSOCK: an empty file of the host stands for it
	Rdev     uint32
	Ino      uint64 // overlay: the number that the file had below
}

// Has says which parts of a record count.
type Has uint8

const (
	HasUID Has = 1 << iota
	HasGID
	HasBits
	HasKind
	HasIno
	Whiteout // overlay: the name is gone, whatever is below
	Opaque   // overlay: nothing of the directory below is seen
	HasPerm
)

// OwnerNeeds are the permissions that the owner of an inode with a record has on the host.
func OwnerNeeds(dir bool) uint32 {
	if dir {
		return 0o700
	}
	return 0o600
}

// PermOf is the permissions that a guest sees of an inode that has others on the host. A record of a mode that somebody has changed
// on the host since then does not count.
func (r *Record) PermOf(host uint32, dir bool) uint32 {
	if r.Has&HasPerm != 0 && host == r.Perm|OwnerNeeds(dir) {
		return r.Perm
	}
	return host
}

// fields are the names of the numbers in the attribute's text, such as "u0 g0 m2048".
var fields = []struct {
	key byte
	is  Has // 0: what another field has
	max uint64
	of  func(*Record) *uint32
}{
	{'u', HasUID, 1<<32 - 2, func(r *Record) *uint32 { return &r.UID }},
	{'g', HasGID, 1<<32 - 2, func(r *Record) *uint32 { return &r.GID }},
	{'m', HasBits, SpecialBits, func(r *Record) *uint32 { return &r.Bits }},
	{'p', HasPerm, 0o777, func(r *Record) *uint32 { return &r.Perm }},
	{'k', HasKind, 0o170000, func(r *Record) *uint32 { return &r.Kind }},
	{'r', 0, 1<<32 - 1, func(r *Record) *uint32 { return &r.Rdev }},
}

const base = 10

// Encode returns the text; nothing for a record that says nothing.
func (r *Record) Encode() []byte {
	var b []byte
	for _, f := range fields {
		if f.is != 0 && r.Has&f.is == 0 || f.is == 0 && r.Rdev == 0 {
			continue
		}
		b = append(b, f.key)
		b = append(strconv.AppendUint(b, uint64(*f.of(r)), base), ' ')
	}
	if r.Has&HasIno != 0 {
		b = append(strconv.AppendUint(append(b, 'i'), r.Ino, base), ' ')
	}
	if r.Has&Whiteout != 0 {
		b = append(b, "w "...)
	}
	if r.Has&Opaque != 0 {
		b = append(b, "o "...)
	}
	return b[:max(len(b)-1, 0)]
}

// ParseRecord reads the text. The host's user can write it, too.
func ParseRecord(text []byte) (Record, error) {
	var r Record
	for word := range strings.FieldsSeq(string(text)) {
		if err := r.parse(word); err != nil {
			return Record{}, err
		}
	}
	if r.Has&HasKind != 0 && !IsSpecial(r.Kind) {
		return Record{}, fmt.Errorf("attribute %s: %#o is no kind of special file", RecordName, r.Kind)
	}
	return r, nil
}

// parse reads one word, which is not empty.
func (r *Record) parse(word string) error {
	switch word {
	case "w":
		r.Has |= Whiteout
		return nil
	case "o":
		r.Has |= Opaque
		return nil
	}
	v, err := strconv.ParseUint(word[1:], base, 64)
	if err != nil {
		return fmt.Errorf("attribute %s: %q: %w", RecordName, word, err)
	}
	if word[0] == 'i' {
		r.Ino, r.Has = v, r.Has|HasIno
		return nil
	}
	for _, f := range fields {
		if f.key == word[0] && v <= f.max {
			*f.of(r), r.Has = uint32(v), r.Has|f.is
			return nil
		}
	}
	return fmt.Errorf("attribute %s: %q means nothing", RecordName, word)
}

// IsSpecial tells whether a kind of file is none that has contents: a device, a FIFO or a socket, by Linux's numbers.
func IsSpecial(kind uint32) bool {
	const fifo, charDevice, blockDevice, socket = 0o010000, 0o020000, 0o060000, 0o140000
	return kind == fifo || kind == charDevice || kind == blockDevice || kind == socket
}
