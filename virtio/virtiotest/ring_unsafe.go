//go:build linux

package virtiotest

import (
	"sync/atomic"
	"unsafe"
)

// load32 and store32 are what a driver's memory barriers are for a guest. b has 4 bytes, aligned to 4: rings start at
// pages.

func load32(b []byte) uint32 { return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[0]))) }

func store32(b []byte, v uint32) { atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[0])), v) }
