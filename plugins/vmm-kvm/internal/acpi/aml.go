package acpi

import (
	"encoding/binary"
	"slices"
	"strings"
)

var le = binary.LittleEndian

// Opcodes, ACPI 6.5 section 20.3. Those above 0xff are the extension prefix and another byte.
const (
	opName    = 0x08
	opByte    = 0x0a
	opWord    = 0x0b
	opDWord   = 0x0c
	opString  = 0x0d
	opQWord   = 0x0e
	opScope   = 0x10
	opBuffer  = 0x11
	opPackage = 0x12
	opMethod  = 0x14
	opLocal0  = 0x60
	opStore   = 0x70
	opAnd     = 0x7b
	opNotify  = 0x86
	opIf      = 0xa0
	opRegion  = 0x5b80
	opField   = 0x5b81
	opDevice  = 0x5b82
)

const systemIO = 0x01 // address space of an operation region

var local0 = []byte{opLocal0}

func opcode(op uint16) []byte {
	if op > 0xff {
		return []byte{byte(op >> 8), byte(op)}
	}
	return []byte{byte(op)}
}

// block is an opcode, the length of what follows, counted with itself, and what follows.
func block(op uint16, terms ...[]byte) []byte {
	body := slices.Concat(terms...)
	return slices.Concat(opcode(op), packageLength(len(body)), body)
}

// length encodes n in one byte of 6 bits, or in the low 4 bits of the first byte and up to three more, which it counts in its
// top two bits (section 20.2.4).
func length(n int) []byte {
	if n < 1<<6 {
		return []byte{byte(n)}
	}
	b := []byte{byte(n & 0xf)}
	for n >>= 4; n > 0; n >>= 8 {
		b = append(b, byte(n))
	}
	b[0] |= byte(len(b)-1) << 6
	return b
}

// packageLength encodes the length of a body together with its own.
func packageLength(body int) []byte {
	for own := 1; ; own++ {
		if b := length(body + own); len(b) == own {
			return b
		}
	}
}

// path encodes the name of an object in the scope or above it: one segment of four characters.
func path(name string) []byte { return []byte((name + "____")[:4]) }

// integer encodes n in as few bytes as it takes.
func integer(n uint64) []byte {
	switch {
	case n <= 1:
		return []byte{byte(n)} // ZeroOp, OneOp
	case n < 1<<8:
		return []byte{opByte, byte(n)}
	case n < 1<<16:
		return le.AppendUint16([]byte{opWord}, uint16(n))
	case n < 1<<32:
		return le.AppendUint32([]byte{opDWord}, uint32(n))
	}
	return le.AppendUint64([]byte{opQWord}, n)
}

func text(s string) []byte { return append([]byte(opcode(opString)), s+"\x00"...) }

// eisaID encodes an identifier such as PNP0501: three letters of five bits and four hexadecimal digits, big-endian.
func eisaID(id string) []byte {
	v := uint32(id[0]-'@')<<26 | uint32(id[1]-'@')<<21 | uint32(id[2]-'@')<<16
	for i, digit := range []byte(id[3:]) {
		v |= uint32(strings.IndexByte("0123456789ABCDEF", digit)) << (12 - 4*i)
	}
	return binary.BigEndian.AppendUint32([]byte{opDWord}, v)
}

func scope(name string, terms ...[]byte) []byte {
	return block(opScope, path(name), slices.Concat(terms...))
}

func device(name string, terms ...[]byte) []byte {
	return block(opDevice, path(name), slices.Concat(terms...))
}

func named(name string, value []byte) []byte {
	return slices.Concat(opcode(opName), path(name), value)
}

func buffer(data []byte) []byte { return block(opBuffer, integer(uint64(len(data))), data) }

func packageOf(elements ...[]byte) []byte {
	return block(opPackage, []byte{byte(len(elements))}, slices.Concat(elements...))
}

// method is serialized: two CPUs do not run it at once.
func method(name string, args byte, terms ...[]byte) []byte {
	const serialized = 1 << 3
	return block(opMethod, path(name), []byte{args | serialized}, slices.Concat(terms...))
}

func ioRegion(name string, port, size uint64) []byte {
	return slices.Concat(opcode(opRegion), path(name), []byte{systemIO}, integer(port), integer(size))
}

// field32 names the first 32 bits of a region, which are read and written whole.
func field32(region, name string) []byte {
	const dwordAccess = 3
	return block(opField, path(region), []byte{dwordAccess}, path(name), length(32))
}

func store(value, target []byte) []byte { return slices.Concat(opcode(opStore), value, target) }

// and has no target: its value is used where it stands.
func and(a, b []byte) []byte { return slices.Concat(opcode(opAnd), a, b, []byte{0}) }

func ifTrue(condition []byte, terms ...[]byte) []byte {
	return block(opIf, condition, slices.Concat(terms...))
}

func notify(object string, value uint64) []byte {
	return slices.Concat(opcode(opNotify), path(object), integer(value))
}
