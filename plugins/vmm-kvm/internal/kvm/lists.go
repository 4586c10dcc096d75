package kvm

// CPUIDEntry2 is one leaf of CPUID: struct kvm_cpuid_entry2.
type CPUIDEntry2 struct {
	Function uint32
	Index    uint32
	Flags    uint32
	EAX      uint32
	EBX      uint32
	ECX      uint32
	EDX      uint32
	Padding  [3]uint32
}

// CPUIDFlagSignificantIndex says that Index selects the leaf beside Function: KVM_CPUID_FLAG_SIGNIFCANT_INDEX.
const CPUIDFlagSignificantIndex = 1

// MSREntry is one model-specific register: struct kvm_msr_entry.
type MSREntry struct {
	Index    uint32
	Reserved uint32
	Data     uint64
}

// header begins every structure that ends in an array of any length.
type header struct {
	Count   uint32
	Padding uint32
}

// The most entries that one request may carry. The kernel's own limits are KVM_MAX_CPUID_ENTRIES and one less than MAX_IO_MSRS.
const (
	maxCPUIDEntries = 256
	maxMSREntries   = 255
	maxMSRIndices   = 1024 // plenty: kernels know a few hundred
)

// cpuid2, msrs and msrList are struct kvm_cpuid2, kvm_msrs and kvm_msr_list with room for as much as they can hold.
type cpuid2 struct {
	header
	Entries [maxCPUIDEntries]CPUIDEntry2
}

type msrs struct {
	header
	Entries [maxMSREntries]MSREntry
}

type msrList struct {
	Count   uint32
	Indices [maxMSRIndices]uint32
}
