//go:build linux

package mmio_test

import (
	"runtime"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// echo is a device that answers what is in the readable part of a chain in the writable part. It has the entropy device's identifier.
type echo struct {
	workers virtio.Workers
}

func (*echo) DeviceID() uint32               { return virtio.IDEntropy }
func (*echo) Features() uint64               { return 0 }
func (e *echo) QueueSizes() []uint16         { return []uint16{256, 64} }
func (*echo) ReadConfig(_ uint32, p []byte)  { clear(p) }
func (*echo) WriteConfig(_ uint32, _ []byte) {}

func (e *echo) Activate(a virtio.Activation) error {
	serve := func(q *virtio.Queue, stop <-chan struct{}) error {
		var buf [64]byte
		return virtio.Serve(q, stop, func(c *virtio.Chain) int {
			n := c.Readable.CopyTo(buf[:], 0)
			return c.Writable.CopyFrom(buf[:n], 0)
		})
	}
	return e.workers.Start(a, serve, serve)
}

func (e *echo) Stop()  { e.workers.Stop() }
func (e *echo) Reset() { e.workers.Stop() }

// BenchmarkKick is the way of one request, from the kick to the used index that a polling driver sees, and what it costs
// all threads together.
func BenchmarkKick(b *testing.B) {
	d := virtiotest.NewMMIODriver(b, &echo{}, virtiotest.NewMemory(b, 1<<20))
	r := d.Start(virtiotest.AllFeatures, 64)[0]
	data := d.Mem.Alloc(4096)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	for b.Loop() {
		r.Add(virtiotest.Buffer{Addr: data, Len: 16}, virtiotest.Buffer{Addr: data + 64, Len: 16, Write: true})
		r.Publish()
		for {
			if _, _, ok := r.Reap(); ok {
				break
			}
		}
	}
}

// BenchmarkRoundTrip is a request whose driver sleeps until the interrupt.
func BenchmarkRoundTrip(b *testing.B) {
	d := virtiotest.NewMMIODriver(b, &echo{}, virtiotest.NewMemory(b, 1<<20))
	r := d.Start(virtiotest.AllFeatures, 64)[0]
	data := d.Mem.Alloc(4096)
	b.ReportAllocs()
	for b.Loop() {
		r.Add(virtiotest.Buffer{Addr: data, Len: 16}, virtiotest.Buffer{Addr: data + 64, Len: 16, Write: true})
		r.Publish()
		r.Wait()
	}
}
