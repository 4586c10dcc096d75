package kvm

// RunningRequests are the requests of a VM that has been set up: to run it, to look at a vCPU that failed, and to save it. They are
// for the seccomp filter of the whole process; a vCPU's own thread needs RequestRun and RequestIRQLine only.
func RunningRequests() []uint32 {
	numbers := []uint32{RequestRun, RequestIRQLine}
	for _, r := range []request{
		kvmKVMClockCtrl, kvmGetRegs, kvmGetSregs, kvmTranslate,
		kvmGetMSRs, kvmGetLAPIC, kvmGetCPUID2, kvmGetMPState, kvmGetVCPUEvents, kvmGetDebugRegs, kvmGetTSCKHz,
		kvmGetXSAVE, kvmGetXSAVE2, kvmGetXCRS, kvmGetIRQChip, kvmGetClock, kvmCheckExtension,
	} {
		numbers = append(numbers, uint32(r.number))
	}
	return numbers
}
