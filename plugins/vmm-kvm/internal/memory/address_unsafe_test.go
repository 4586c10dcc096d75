package memory

import "unsafe"

// hostAddress returns where b starts in this process. b is not empty.
func hostAddress(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
