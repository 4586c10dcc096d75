//go:build linux

package sharefs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What a guest may think of a file and the host must not: an owner that is not the host's user, a set-user-ID bit, a device. It
// stands in one extended attribute of the file, which guests neither see nor set.
const (
	hiddenPrefix = "user.voidbox."
	recordName   = hiddenPrefix + "stat"
	maxRecord    = 160
)

// specialBits are the bits of a mode that are never set on the host for a guest's sake.
const specialBits = unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX

// record is what the attribute says. The zero value says nothing.
type record struct {
	has      has
	uid, gid uint32
	bits     uint32 // of specialBits
	kind     uint32 // S_IFCHR, S_IFBLK, S_IFIFO or S_IFSOCK: an empty file of the host stands for it
	rdev     uint32
	ino      uint64 // overlay: the number that the file had below
}

// has says which parts of a record count.
type has uint8

const (
	hasUID has = 1 << iota
	hasGID
	hasBits
	hasKind
	hasIno
	whiteout // overlay: the name is gone, whatever is below
	opaque   // overlay: nothing of the directory below is seen
)

// fields are the names of the numbers in the attribute's text, such as "u0 g0 m4000".
var fields = []struct {
	key byte
	is  has
	max uint64
	of  func(*record) *uint32
}{
	{'u', hasUID, 1<<32 - 2, func(r *record) *uint32 { return &r.uid }},
	{'g', hasGID, 1<<32 - 2, func(r *record) *uint32 { return &r.gid }},
	{'m', hasBits, specialBits, func(r *record) *uint32 { return &r.bits }},
	{'k', hasKind, unix.S_IFMT, func(r *record) *uint32 { return &r.kind }},
	{'r', 0, 1<<32 - 1, func(r *record) *uint32 { return &r.rdev }},
}

const base = 10

func (r *record) encode() []byte {
	var b []byte
	for _, f := range fields {
		if f.is != 0 && r.has&f.is == 0 || f.is == 0 && r.rdev == 0 {
			continue
		}
		b = append(b, f.key)
		b = append(strconv.AppendUint(b, uint64(*f.of(r)), base), ' ')
	}
	if r.has&hasIno != 0 {
		b = append(strconv.AppendUint(append(b, 'i'), r.ino, base), ' ')
	}
	if r.has&whiteout != 0 {
		b = append(b, "w "...)
	}
	if r.has&opaque != 0 {
		b = append(b, "o "...)
	}
	return b[:max(len(b)-1, 0)]
}

// parseRecord reads the text. The host's user can write it, too.
func parseRecord(text []byte) (record, error) {
	var r record
	for word := range strings.FieldsSeq(string(text)) {
		if err := r.parse(word); err != nil {
			return record{}, err
		}
	}
	if r.has&hasKind != 0 && !isSpecial(r.kind) {
		return record{}, fmt.Errorf("attribute %s: %#o is no kind of special file", recordName, r.kind)
	}
	return r, nil
}

func (r *record) parse(word string) error {
	switch word {
	case "w":
		r.has |= whiteout
		return nil
	case "o":
		r.has |= opaque
		return nil
	}
	v, err := strconv.ParseUint(word[1:], base, 64)
	if err != nil {
		return fmt.Errorf("attribute %s: %q: %w", recordName, word, err)
	}
	if word[0] == 'i' {
		r.ino, r.has = v, r.has|hasIno
		return nil
	}
	for _, f := range fields {
		if f.key == word[0] && v <= f.max {
			*f.of(r), r.has = uint32(v), r.has|f.is
			return nil
		}
	}
	return fmt.Errorf("attribute %s: %q means nothing", recordName, word)
}

func isSpecial(kind uint32) bool {
	switch kind {
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
		return true
	}
	return false
}
