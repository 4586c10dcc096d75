// Package cpu says what a guest's CPUs are and in which state they begin: CPUID, model-specific registers, local APIC, and the
// registers of the vCPU that enters the kernel. The other vCPUs wait for the INIT and SIPI that the kernel sends them.
//
// The usual sequence, with vCPUs that are new and memory that holds a kernel:
//
//	template, err := system.GetSupportedCPUID()
//	for i := range count {
//		cpu.Reset(vcpu[i], cpu.CPUID(template, i, count))
//	}
//	entry.Tables(memory) // structures in guest memory that the registers point to
//	entry.Enter(vcpu[0]) // vCPU 0 stands at the kernel's first instruction
package cpu
