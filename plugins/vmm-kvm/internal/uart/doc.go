// Package uart is a 16550A serial port, the VM's first console: it works from the guest's first instruction on, long before a
// virtio driver does.
//
// A real port sends a byte in some 87 us. This one takes no time: what the guest writes is out when the write returns, so the
// transmitter is always empty. Linux fills its idea of a FIFO, sixteen bytes, for each interrupt.
//
// # Interrupts
//
// The port has one interrupt output, which is high while any enabled cause is pending. The line to the I/O APIC is
// edge-triggered, so it is signalled when the output goes from low to high and only then. That loses nothing: a handler reads
// IIR until no cause is left, and what makes a cause come up again also makes the output rise again. It is also cheap: sixteen
// bytes cost one signal.
//
// # Hostile guests
//
// Each access costs a bounded time and no allocation. Output goes to a writer that does not block, a ring that drops what is
// oldest, so a guest that floods its console burns its own CPU time and nothing else.
package uart
