package balloon

import (
	"context"
	"encoding/binary"
	"log/slog"

	"github.com/voidbox-run/voidbox/virtio"
)

// maxPages bounds the page numbers of one request; those beyond are ignored, which keeps their memory in use. Linux sends 256.
const maxPages = 4096

// inflate serves inflateq, whose requests are arrays of 32-bit page numbers (section 5.5.6). Each page is judged by itself; those
// that adjoin, in either direction, are given back together.
func (d *Device) inflate(memory *virtio.Memory) virtio.Worker {
	return func(q *virtio.Queue, stop <-chan struct{}) error {
		var raw [4 * maxPages]byte
		return virtio.Serve(q, stop, func(c *virtio.Chain) int {
			n := c.Readable.CopyTo(raw[:], 0) / 4
			var run pageRange
			for i := range n {
				page := uint64(binary.LittleEndian.Uint32(raw[4*i:]))
				if _, err := memory.Slice(page*PageSize, PageSize); err != nil {
					continue
				}
				if !run.add(page) {
					d.discard(memory, run)
					run = pageRange{page, 1}
				}
			}
			d.discard(memory, run)
			return 0
		})
	}
}

// pageRange is count pages from first on.
type pageRange struct{ first, count uint64 }

// add grows the range by a page at either end, or reports that the page does not adjoin.
func (r *pageRange) add(page uint64) bool {
	switch {
	case r.count == 0:
		r.first = page
	case page == r.first+r.count:
	case page+1 == r.first:
		r.first = page
	default:
		return false
	}
	r.count++
	return true
}

// deflate serves deflateq: the guest uses pages again. They come back when it touches them.
func deflate(q *virtio.Queue, stop <-chan struct{}) error {
	return virtio.Serve(q, stop, func(*virtio.Chain) int { return 0 })
}

// report serves reporting_vq, whose requests consist of the free memory itself, as room to write to (section 5.5.6.7).
func (d *Device) report(memory *virtio.Memory) virtio.Worker {
	return func(q *virtio.Queue, stop <-chan struct{}) error {
		return virtio.Serve(q, stop, func(c *virtio.Chain) int {
			for _, s := range c.Writable {
				addr, ok := memory.Address(s)
				if !ok {
					continue
				}
				first := (addr + PageSize - 1) / PageSize
				end := (addr + uint64(len(s))) / PageSize
				if end > first {
					d.discard(memory, pageRange{first, end - first})
				}
			}
			return 0
		})
	}
}

// discard gives the range back. It may have been put together from pages of regions that adjoin, hence region by region.
func (d *Device) discard(memory *virtio.Memory, r pageRange) {
	addr, end := r.first*PageSize, (r.first+r.count)*PageSize
	for _, region := range memory.Regions() {
		from, to := max(addr, region.Base), min(end, region.Base+uint64(len(region.Data)))
		if from >= to {
			continue
		}
		err := d.memory.Discard(from, to-from)
		d.note(from, to-from, err)
	}
}

func (d *Device) note(addr, n uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.discarded += n
		return
	}
	level := slog.LevelDebug
	if !d.failed {
		d.failed, level = true, slog.LevelWarn
	}
	d.log.Log(context.Background(), level, "virtio balloon: memory is not given back", "addr", addr, "bytes", n, "error", err)
}
