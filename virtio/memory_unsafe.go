package virtio

import (
	"sync/atomic"
	"unsafe"
)

// Ring fields are 16 bits wide, and Go has no 16-bit atomics. The functions below use the aligned 32-bit
// word around a field instead. Byte order is little-endian, that of the rings and of every host that we
// build for.
//
// Preconditions of all of them: b is a slice of a Region that NewMemory accepted, so the word around
// any 16-bit field lies in the region; off is inside b; the field's address is even.

// hostAddress returns where b starts in this process. b is not empty.
func hostAddress(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// word32 returns the aligned word that holds the field at b[off], and the field's shift within it.
func word32(b []byte, off int) (*uint32, uint) {
	field := unsafe.Pointer(&b[off])
	low := uintptr(field) & 2
	return (*uint32)(unsafe.Add(field, -int(low))), uint(low) * 8
}

// load16 reads the 16-bit field at b[off]; later reads are not moved before it.
func load16(b []byte, off int) uint16 {
	word, shift := word32(b, off)
	return uint16(atomic.LoadUint32(word) >> shift)
}

// store16 writes the 16-bit field at b[off], leaving its neighbour alone, as a full fence. The neighbour
// is not ours: a guest that keeps changing it makes store16 fail after a bounded number of tries.
func store16(b []byte, off int, v uint16) bool {
	const tries = 1 << 16
	word, shift := word32(b, off)
	for range tries {
		old := atomic.LoadUint32(word)
		if atomic.CompareAndSwapUint32(word, old, old&^(0xffff<<shift)|uint32(v)<<shift) {
			return true
		}
	}
	return false
}

// store32 writes the 32-bit word at b[off] as a full fence; the address must be a multiple of 4. It is an exchange, which is what a
// store is on amd64 anyway, because the race detector makes a plain one of a store outside the Go heap.
func store32(b []byte, off int, v uint32) {
	atomic.SwapUint32((*uint32)(unsafe.Pointer(&b[off])), v)
}
