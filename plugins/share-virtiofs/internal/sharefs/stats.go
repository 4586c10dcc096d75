//go:build linux

package sharefs

import (
	"runtime"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
)

// Stats returns counters by dotted name.
func (f *FS) Stats() map[string]uint64 {
	s := map[string]uint64{
		"bytes.read": f.read.Load(), "bytes.written": f.written.Load(), "errors": f.errors.Load(),
		"runtime.goroutines": uint64(runtime.NumGoroutine()),
	}
	for op := range f.ops {
		if n := f.ops[op].Load(); n > 0 {
			s["ops."+fuse.Opcode(op).String()] += n
		}
	}
	t := f.table
	t.mu.Lock()
	defer t.mu.Unlock()
	s["nodes"], s["handles"] = uint64(t.count), uint64(t.open)
	s["descriptors"], s["descriptors.pinned"] = uint64(t.recent.Len()), uint64(t.pinned)
	return s
}
