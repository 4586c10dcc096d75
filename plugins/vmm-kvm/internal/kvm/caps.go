package kvm

// Cap is a capability that KVM_CHECK_EXTENSION tells about.
type Cap int

// Capabilities: KVM_CAP_*.
const (
	CapIRQChip            Cap = 0
	CapHLT                Cap = 1
	CapUserMemory         Cap = 3
	CapSetTSSAddr         Cap = 4
	CapExtCPUID           Cap = 7
	CapNrVCPUs            Cap = 9
	CapNrMemslots         Cap = 10
	CapMPState            Cap = 14
	CapIRQFD              Cap = 32
	CapIOEventFD          Cap = 36
	CapSetIdentityMapAddr Cap = 37
	CapAdjustClock        Cap = 39
	CapVCPUEvents         Cap = 41
	CapDebugRegs          Cap = 50
	CapXSAVE              Cap = 55
	CapXCRS               Cap = 56
	CapTSCControl         Cap = 60
	CapGetTSCKHz          Cap = 61
	CapMaxVCPUs           Cap = 66
	CapTSCDeadlineTimer   Cap = 72
	CapKVMClockCtrl       Cap = 76
	CapImmediateExit      Cap = 136
	CapXSAVE2             Cap = 208
)

// required are the capabilities without which a VM of ours does not work.
var required = []struct {
	number Cap
	name   string
}{
	{CapIRQChip, "KVM_CAP_IRQCHIP"},
	{CapUserMemory, "KVM_CAP_USER_MEMORY"},
	{CapSetTSSAddr, "KVM_CAP_SET_TSS_ADDR"},
	{CapExtCPUID, "KVM_CAP_EXT_CPUID"},
	{CapMPState, "KVM_CAP_MP_STATE"},
	{CapIRQFD, "KVM_CAP_IRQFD"},
	{CapIOEventFD, "KVM_CAP_IOEVENTFD"},
	{CapSetIdentityMapAddr, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{CapAdjustClock, "KVM_CAP_ADJUST_CLOCK"},
	{CapVCPUEvents, "KVM_CAP_VCPU_EVENTS"},
	{CapDebugRegs, "KVM_CAP_DEBUGREGS"},
	{CapXSAVE, "KVM_CAP_XSAVE"},
	{CapXCRS, "KVM_CAP_XCRS"},
	{CapTSCDeadlineTimer, "KVM_CAP_TSC_DEADLINE_TIMER"},
	{CapImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"},
}
