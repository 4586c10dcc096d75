package kvm

import "sync"

// Pin is an edge-triggered pin of the I/O APIC. It does what an irqfd does, without the detour: KVM hands an irqfd's signal for the
// I/O APIC to a kernel thread, since it may come from where the APIC's lock cannot be taken, and the interrupt waits for that thread
// to be scheduled. A Pin must not be used after its VM is closed.
type Pin struct {
	fd        int
	mu        sync.Mutex // of two edges at once, the second would be none: the line is high, and what it stands for is missed
	high, low irqLevel
}

// Pin returns the pin that gsi stands for.
func (v *VM) Pin(gsi uint32) *Pin {
	return &Pin{fd: v.fd, high: irqLevel{IRQ: gsi, Level: 1}, low: irqLevel{IRQ: gsi}}
}

// Signal makes an edge. It implements virtio.Call, and allocates nothing.
func (p *Pin) Signal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ioctl(p.fd, kvmIRQLine, &p.high); err != nil {
		return err
	}
	return ioctl(p.fd, kvmIRQLine, &p.low)
}
