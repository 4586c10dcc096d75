package boot

import (
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

// Whatever a kernel file says, loading it touches guest memory only, and where it succeeds, the entry lies in that memory and out
// of the way of what the loader itself has put there.
func FuzzLoad(f *testing.F) {
	f.Add(newELF().bytes())
	f.Add(newBzImage())
	e := newELF()
	e.parts = e.parts[:2]
	f.Add(e.bytes())
	const size = 32 * mib
	mem := newMemory(f, size) // what one input leaves behind does not matter to the next
	f.Fuzz(func(t *testing.T, image []byte) {
		file, err := newFile(newMemoryFile(image))
		if err != nil {
			t.Fatal(err)
		}
		l, err := newLoader(mem)
		if err != nil {
			t.Fatal(err)
		}
		k, err := l.kernel(file)
		if err != nil {
			return
		}
		if k.entry.Addr < layout.HighMemory || k.entry.Addr >= k.end || k.end > size {
			t.Errorf("entry %#x of a kernel that ends at %#x", k.entry.Addr, k.end)
		}
		entry, err := l.finish(k, &initrd{size: 8, archives: []archive{{content: []byte("archives"), size: 8}}}, Config{CommandLine: "a"})
		if err == nil && entry != k.entry {
			t.Errorf("entry %+v became %+v", k.entry, entry)
		}
	})
}
