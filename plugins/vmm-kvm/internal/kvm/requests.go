package kvm

// The requests, in the order of the kernel's header.
var (
	kvmGetAPIVersion     = ioNone(0x00, "KVM_GET_API_VERSION")
	kvmCreateVM          = ioNone(0x01, "KVM_CREATE_VM")
	kvmGetMSRIndexList   = iowr[uint32](0x02, "KVM_GET_MSR_INDEX_LIST")
	kvmCheckExtension    = ioNone(0x03, "KVM_CHECK_EXTENSION")
	kvmGetVCPUMmapSize   = ioNone(0x04, "KVM_GET_VCPU_MMAP_SIZE")
	kvmGetSupportedCPUID = iowr[header](0x05, "KVM_GET_SUPPORTED_CPUID")

	kvmCreateVCPU          = ioNone(0x41, "KVM_CREATE_VCPU")
	kvmSetUserMemoryRegion = iow[UserspaceMemoryRegion](0x46, "KVM_SET_USER_MEMORY_REGION")
	kvmSetTSSAddr          = ioNone(0x47, "KVM_SET_TSS_ADDR")
	kvmSetIdentityMapAddr  = iow[uint64](0x48, "KVM_SET_IDENTITY_MAP_ADDR")
	kvmCreateIRQChip       = ioNone(0x60, "KVM_CREATE_IRQCHIP")
	kvmIRQLine             = iow[irqLevel](0x61, "KVM_IRQ_LINE")
	kvmGetIRQChip          = iowr[IRQChip](0x62, "KVM_GET_IRQCHIP")
	kvmSetIRQChip          = ior[IRQChip](0x63, "KVM_SET_IRQCHIP") // the header has its direction so
	kvmIRQFD               = iow[irqfd](0x76, "KVM_IRQFD")
	kvmIOEventFD           = iow[ioeventfd](0x79, "KVM_IOEVENTFD")
	kvmSetClock            = iow[ClockData](0x7b, "KVM_SET_CLOCK")
	kvmGetClock            = ior[ClockData](0x7c, "KVM_GET_CLOCK")

	kvmRun           = ioNone(0x80, "KVM_RUN")
	kvmGetRegs       = ior[Regs](0x81, "KVM_GET_REGS")
	kvmSetRegs       = iow[Regs](0x82, "KVM_SET_REGS")
	kvmGetSregs      = ior[Sregs](0x83, "KVM_GET_SREGS")
	kvmSetSregs      = iow[Sregs](0x84, "KVM_SET_SREGS")
	kvmTranslate     = iowr[Translation](0x85, "KVM_TRANSLATE")
	kvmGetMSRs       = iowr[header](0x88, "KVM_GET_MSRS")
	kvmSetMSRs       = iow[header](0x89, "KVM_SET_MSRS")
	kvmGetLAPIC      = ior[LAPICState](0x8e, "KVM_GET_LAPIC")
	kvmSetLAPIC      = iow[LAPICState](0x8f, "KVM_SET_LAPIC")
	kvmSetCPUID2     = iow[header](0x90, "KVM_SET_CPUID2")
	kvmGetCPUID2     = iowr[header](0x91, "KVM_GET_CPUID2")
	kvmGetMPState    = ior[mpState](0x98, "KVM_GET_MP_STATE")
	kvmSetMPState    = iow[mpState](0x99, "KVM_SET_MP_STATE")
	kvmGetVCPUEvents = ior[VCPUEvents](0x9f, "KVM_GET_VCPU_EVENTS")
	kvmSetVCPUEvents = iow[VCPUEvents](0xa0, "KVM_SET_VCPU_EVENTS")
	kvmGetDebugRegs  = ior[DebugRegs](0xa1, "KVM_GET_DEBUGREGS")
	kvmSetDebugRegs  = iow[DebugRegs](0xa2, "KVM_SET_DEBUGREGS")
	kvmSetTSCKHz     = ioNone(0xa2, "KVM_SET_TSC_KHZ")
	kvmEnableCap     = iow[enableCap](0xa3, "KVM_ENABLE_CAP")
	kvmGetTSCKHz     = ioNone(0xa3, "KVM_GET_TSC_KHZ")
	kvmGetXSAVE      = ior[xsave](0xa4, "KVM_GET_XSAVE")
	kvmSetXSAVE      = iow[xsave](0xa5, "KVM_SET_XSAVE")
	kvmGetXCRS       = ior[XCRS](0xa6, "KVM_GET_XCRS")
	kvmSetXCRS       = iow[XCRS](0xa7, "KVM_SET_XCRS")
	kvmKVMClockCtrl  = ioNone(0xad, "KVM_KVMCLOCK_CTRL")
	kvmGetXSAVE2     = ior[xsave](0xcf, "KVM_GET_XSAVE2")
)

// Numbers of requests for the seccomp filter of a vCPU's thread, which makes no other: KVM_RUN, and KVM_IRQ_LINE for a driver whose
// write to a register is answered by an interrupt.
const (
	RequestRun     = kvmIO<<8 | 0x80
	RequestIRQLine = dirWrite<<30 | 8<<16 | kvmIO<<8 | 0x61
)
