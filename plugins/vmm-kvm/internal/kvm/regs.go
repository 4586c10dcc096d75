package kvm

// Regs are the general-purpose registers: struct kvm_regs.
type Regs struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Segment is a segment register with its hidden part: struct kvm_segment.
type Segment struct {
	Base     uint64
	Limit    uint32
	Selector uint16
	Type     uint8
	Present  uint8
	DPL      uint8
	DB       uint8
	S        uint8
	L        uint8
	G        uint8
	AVL      uint8
	Unusable uint8
	Padding  uint8
}

// DTable is GDTR or IDTR: struct kvm_dtable.
type DTable struct {
	Base    uint64
	Limit   uint16
	Padding [3]uint16
}

// Sregs are the special registers: struct kvm_sregs.
type Sregs struct {
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                DTable
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
	InterruptBitmap         [4]uint64
}

// XCR is one extended control register: struct kvm_xcr.
type XCR struct {
	XCR      uint32
	Reserved uint32
	Value    uint64
}

// XCRS are the extended control registers: struct kvm_xcrs.
type XCRS struct {
	NrXCRS  uint32
	Flags   uint32
	XCRS    [16]XCR
	Padding [16]uint64
}

// xsave is struct kvm_xsave without what a host with more state appends to it.
type xsave struct{ Region [1024]uint32 }

// DebugRegs are DR0-DR3, DR6 and DR7: struct kvm_debugregs.
type DebugRegs struct {
	DB       [4]uint64
	DR6      uint64
	DR7      uint64
	Flags    uint64
	Reserved [9]uint64
}

// LAPICState is the register page of a local APIC: struct kvm_lapic_state.
type LAPICState struct{ Regs [0x400]byte }

// MPState is what a vCPU does when it is run: struct kvm_mp_state.
type MPState uint32

// Values of MPState: KVM_MP_STATE_*.
const (
	MPStateRunnable      MPState = 0
	MPStateUninitialized MPState = 1 // waits for INIT
	MPStateInitReceived  MPState = 2 // waits for SIPI
	MPStateHalted        MPState = 3
	MPStateSIPIReceived  MPState = 4
)

type mpState struct{ MPState MPState }

// VCPUEvents are exceptions, interrupts and NMIs in flight: struct kvm_vcpu_events.
type VCPUEvents struct {
	Exception struct {
		Injected     uint8
		Nr           uint8
		HasErrorCode uint8
		Pending      uint8
		ErrorCode    uint32
	}
	Interrupt struct {
		Injected uint8
		Nr       uint8
		Soft     uint8
		Shadow   uint8
	}
	NMI struct {
		Injected uint8
		Pending  uint8
		Masked   uint8
		Pad      uint8
	}
	SIPIVector uint32
	Flags      uint32
	SMI        struct {
		SMM          uint8
		Pending      uint8
		SMMInsideNMI uint8
		LatchedInit  uint8
	}
	TripleFault         struct{ Pending uint8 }
	Reserved            [26]uint8
	ExceptionHasPayload uint8
	ExceptionPayload    uint64
}

// Translation is the argument of KVM_TRANSLATE: struct kvm_translation.
type Translation struct {
	LinearAddress   uint64
	PhysicalAddress uint64
	Valid           uint8
	Writeable       uint8
	Usermode        uint8
	Pad             [5]uint8
}
