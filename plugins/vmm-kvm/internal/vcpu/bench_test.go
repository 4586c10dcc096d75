package vcpu

import (
	"context"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
)

// stopAfter is a device that ends the set at its n-th read.
type stopAfter struct {
	left int
	set  *Set
}

func (s *stopAfter) Read(_ uint64, p []byte) {
	clear(p)
	if s.left--; s.left == 0 {
		s.set.Stop()
	}
}

func (s *stopAfter) Write(uint64, []byte) {}

// BenchmarkKVMExit is the way of a device's register to the guest and back: KVM_RUN, dispatch, an empty device.
func BenchmarkKVMExit(b *testing.B) {
	for name, read := range map[string][]byte{"mmio": readDevice, "pio": {0xe5, 0x80}} { // in eax, 0x80
		b.Run(name, func(b *testing.B) {
			g := newGuest(b, 1, cpu.PVH, back(program(read))...)
			dev := &stopAfter{left: b.N, set: g.set}
			must(b, g.mmio.Attach("device", deviceAt, 0x1000, dev))
			must(b, g.pio.Attach("device", 0x80, 4, dev))
			must(b, g.set.Launch())
			b.ReportAllocs()
			b.ResetTimer()
			must(b, g.set.Resume())
			<-g.set.Done()
		})
	}
}

// BenchmarkKVMPause pauses a guest that never exits by itself, and resumes it.
func BenchmarkKVMPause(b *testing.B) {
	g := newGuest(b, 1, cpu.PVH, spin...)
	g.start()
	for b.Loop() {
		must(b, g.set.Pause(context.Background()))
		must(b, g.set.Resume())
	}
}
