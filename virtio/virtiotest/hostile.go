//go:build linux

package virtiotest

// A hostileRing writes rings that break the rules. table and data are memory to point to.
type hostileRing struct {
	name  string
	write func(r *Ring, table, data uint64)
}

// one makes a hostileRing of a single chain at descriptor 0.
func one(name string, write func(r *Ring, table, data uint64)) hostileRing {
	return hostileRing{name, func(r *Ring, table, data uint64) {
		write(r, table, data)
		r.Offer(0)
	}}
}

// hostileRings each break the queue of a device that pops chains from it.
var hostileRings = []hostileRing{
	one("loop of one", func(r *Ring, _, data uint64) {
		r.SetDescriptor(0, data, 1, FlagNext, 0)
	}),
	one("loop of two", func(r *Ring, _, data uint64) {
		r.SetDescriptor(0, data, 1, FlagNext, 1)
		r.SetDescriptor(1, data, 1, FlagNext, 0)
	}),
	one("loop of writable descriptors", func(r *Ring, _, data uint64) {
		r.SetDescriptor(0, data, 1, FlagNext|FlagWrite, 1)
		r.SetDescriptor(1, data, 1, FlagNext|FlagWrite, 0)
	}),
	one("next out of range", func(r *Ring, _, data uint64) {
		r.SetDescriptor(0, data, 1, FlagNext, uint16(r.Size))
	}),
	one("address 0", func(r *Ring, _, _ uint64) { r.SetDescriptor(0, 0, 1, 0, 0) }),
	one("address wraps", func(r *Ring, _, _ uint64) { r.SetDescriptor(0, 1<<64-1, 0xffffffff, FlagWrite, 0) }),
	one("beyond the end", func(r *Ring, _, data uint64) { r.SetDescriptor(0, data, 0xffffffff, FlagWrite, 0) }),
	one("length 0", func(r *Ring, _, data uint64) { r.SetDescriptor(0, data, 0, 0, 0) }),
	one("readable after writable", func(r *Ring, _, data uint64) {
		r.SetDescriptor(0, data, 1, FlagNext|FlagWrite, 1)
		r.SetDescriptor(1, data, 1, 0, 0)
	}),
	one("nested table", func(r *Ring, table, _ uint64) {
		r.SetDescriptor(0, table, 16, FlagIndirect, 0)
		r.SetDescriptorAt(table, table, 16, FlagIndirect, 0)
	}),
	one("loop in a table", func(r *Ring, table, data uint64) {
		r.SetDescriptor(0, table, 32, FlagIndirect, 0)
		r.SetDescriptorAt(table, data, 1, FlagNext, 1)
		r.SetDescriptorAt(table+16, data, 1, FlagNext, 0)
	}),
	one("table of 1 byte", func(r *Ring, table, _ uint64) { r.SetDescriptor(0, table, 1, FlagIndirect, 0) }),
	one("table outside", func(r *Ring, _, _ uint64) { r.SetDescriptor(0, 1<<40, 16, FlagIndirect, 0) }),
	{"head out of range", func(r *Ring, _, _ uint64) { r.Offer(uint16(r.Size)) }},
	{"index jumps", func(r *Ring, _, _ uint64) { r.SetAvailIndex(uint16(r.Size) + 1) }},
	{"index goes back", func(r *Ring, _, _ uint64) { r.SetAvailIndex(0xffff) }},
}

// brokenRings shows each hostile ring to each queue. A queue that the device serves is broken then, and the driver told.
func (a *abuser) brokenRings() {
	told := 0
	for _, h := range hostileRings {
		for i := range a.Rings {
			a.Start(AllFeatures, abuseRing)
			h.write(a.Rings[i], a.data, a.data+4096)
			a.Rings[i].Notify()
			a.pause()
			if a.Get(RegStatus)&StatusNeedsReset != 0 {
				told++
			}
			a.kickAll()
			a.Transport.Pause()
			a.Transport.Resume()
			a.Reset()
		}
	}
	if told == 0 {
		a.t.Error("the device has set DEVICE_NEEDS_RESET not once")
	}
}
