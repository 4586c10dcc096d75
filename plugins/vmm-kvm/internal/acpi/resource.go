package acpi

import "slices"

// resources is a resource template, the value of _CRS: descriptors (ACPI 6.5 section 6.4) and an end tag whose checksum is
// left out.
func resources(descriptors ...[]byte) []byte {
	return buffer(append(slices.Concat(descriptors...), 0x79, 0))
}

// memory is a Memory32Fixed descriptor, readable and writable.
func memory(base, size uint32) []byte {
	b := []byte{0x86, 9, 0, 1}
	return le.AppendUint32(le.AppendUint32(b, base), size)
}

// interrupt is an extended interrupt descriptor: consumed, edge-triggered, active-high and exclusive, as irqfds are.
func interrupt(line uint32) []byte {
	const consumer, edge = 1 << 0, 1 << 1
	return le.AppendUint32([]byte{0x89, 6, 0, consumer | edge, 1}, line)
}

// ports is an I/O descriptor of a fixed place that decodes 16 bits of address.
func ports(base uint16, size byte) []byte {
	b := []byte{0x47, 1}
	return append(le.AppendUint16(le.AppendUint16(b, base), base), 1, size)
}
