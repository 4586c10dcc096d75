package boot

import (
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

const (
	// archiveAlign is where the kernel looks for an archive behind the zeroes that may follow the one before
	// (Documentation/driver-api/early-userspace/buffer-format.rst).
	archiveAlign = 4
	pageSize     = 4096
)

// initrd is an initramfs: its archives, one after another.
type initrd struct {
	archives []archive
	size     uint64
}

// archive is a file or its content.
type archive struct {
	path    string
	file    *file
	content []byte
	size    uint64
}

// openInitrd opens the archives before anything is loaded, to learn their sizes.
func openInitrd(segments []vmm.Segment) (*initrd, error) {
	r := &initrd{}
	for _, s := range segments {
		a := archive{path: s.Path, content: s.Content, size: uint64(len(s.Content))}
		if s.Path != "" {
			f, err := open(s.Path)
			if err != nil {
				r.close()
				return nil, about("initrd", s.Path, err)
			}
			a.file, a.size = f, uint64(f.size)
		}
		r.archives = append(r.archives, a)
		r.size = sum(padded(r.size), a.size)
	}
	return r, nil
}

func (r *initrd) close() {
	for _, a := range r.archives {
		if a.file != nil {
			a.file.close()
		}
	}
}

func padded(n uint64) uint64 { return sum(n, -n&(archiveAlign-1)) }

// initrd loads the archives as high as possible, out of the way of the kernel's first allocations.
func (l *loader) initrd(k kernel, r *initrd) (extent, error) {
	if r.size == 0 {
		return extent{}, nil
	}
	end := min(l.end, k.initrdEnd)
	lowest := (k.end + pageSize - 1) &^ (pageSize - 1)
	need := sum(lowest, sum(r.size, pageSize))
	if need > k.initrdEnd {
		room := (max(k.initrdEnd, lowest) - lowest) / mib
		return extent{}, invalid("an initrd of %d MiB is larger than the %d MiB that this kernel can take, whatever the VM's memory",
			r.size/mib, room).WithReason("initrd_too_large").WithRemedy("put files on a disk instead")
	}
	if need > end {
		return extent{}, l.tooSmall("kernel and initrd together", need)
	}
	base := (end - r.size) &^ (pageSize - 1)
	at := base
	for _, a := range r.archives {
		if err := l.archive(a, at); err != nil {
			return extent{}, err
		}
		at = padded(at + a.size)
	}
	return extent{base: base, size: r.size}, nil
}

func (l *loader) archive(a archive, at uint64) error {
	if a.file == nil {
		return l.mem.WriteAt(a.content, at)
	}
	err := a.file.load(l.mem, at, 0, a.size)
	if err == nil {
		err = a.file.unchanged()
	}
	if err != nil {
		return about("initrd", a.path, err)
	}
	return nil
}
