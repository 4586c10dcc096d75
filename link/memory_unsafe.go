//go:build linux

package link

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// wordAt returns the word at mem[off] as an atomic, for memory that another process changes too.
// Preconditions, checked: the word lies inside mem and is aligned. The caller keeps mem mapped while it uses the word.
func wordAt(mem []byte, off int) *atomic.Uint32 {
	p := at(mem, off, 4)
	return (*atomic.Uint32)(p)
}

// load64 reads the 8 bytes at mem[off] exactly once.
// Preconditions, checked: they lie inside mem and are aligned.
func load64(mem []byte, off uint32) uint64 {
	return atomic.LoadUint64((*uint64)(at(mem, int(off), 8)))
}

func at(mem []byte, off, size int) unsafe.Pointer {
	if off < 0 || off > len(mem)-size {
		panic(fmt.Sprintf("link: %d bytes at %d of %d", size, off, len(mem)))
	}
	p := unsafe.Pointer(&mem[off])
	if uintptr(p)%uintptr(size) != 0 {
		panic(fmt.Sprintf("link: %d bytes at an odd address", size))
	}
	return p
}
