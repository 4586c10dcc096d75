package kvm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// structures are ours and the kernel's, field by field in the same order. Fields of the kernel's that C has no name for, or that
// stand for an array of any length, are left out.
var structures = []struct {
	c    string
	goes reflect.Type
}{
	{"kvm_regs", reflect.TypeFor[Regs]()},
	{"kvm_segment", reflect.TypeFor[Segment]()},
	{"kvm_dtable", reflect.TypeFor[DTable]()},
	{"kvm_sregs", reflect.TypeFor[Sregs]()},
	{"kvm_xcr", reflect.TypeFor[XCR]()},
	{"kvm_xcrs", reflect.TypeFor[XCRS]()},
	{"kvm_xsave", reflect.TypeFor[xsave]()},
	{"kvm_debugregs", reflect.TypeFor[DebugRegs]()},
	{"kvm_lapic_state", reflect.TypeFor[LAPICState]()},
	{"kvm_mp_state", reflect.TypeFor[mpState]()},
	{"kvm_vcpu_events", reflect.TypeFor[VCPUEvents]()},
	{"kvm_translation", reflect.TypeFor[Translation]()},
	{"kvm_cpuid_entry2", reflect.TypeFor[CPUIDEntry2]()},
	{"kvm_msr_entry", reflect.TypeFor[MSREntry]()},
	{"kvm_userspace_memory_region", reflect.TypeFor[UserspaceMemoryRegion]()},
	{"kvm_irq_level", reflect.TypeFor[irqLevel]()},
	{"kvm_irqfd", reflect.TypeFor[irqfd]()},
	{"kvm_ioeventfd", reflect.TypeFor[ioeventfd]()},
	{"kvm_irqchip", reflect.TypeFor[IRQChip]()},
	{"kvm_clock_data", reflect.TypeFor[ClockData]()},
	{"kvm_enable_cap", reflect.TypeFor[enableCap]()},
}

// requests is every request that this package makes.
var requests = []request{
	kvmGetAPIVersion, kvmCreateVM, kvmGetMSRIndexList, kvmCheckExtension, kvmGetVCPUMmapSize, kvmGetSupportedCPUID,
	kvmCreateVCPU, kvmSetUserMemoryRegion, kvmSetTSSAddr, kvmSetIdentityMapAddr, kvmCreateIRQChip, kvmIRQLine, kvmGetIRQChip,
	kvmSetIRQChip, kvmIRQFD, kvmIOEventFD, kvmSetClock, kvmGetClock,
	kvmRun, kvmGetRegs, kvmSetRegs, kvmGetSregs, kvmSetSregs, kvmTranslate, kvmGetMSRs, kvmSetMSRs,
	kvmGetLAPIC, kvmSetLAPIC, kvmSetCPUID2, kvmGetCPUID2, kvmGetMPState, kvmSetMPState, kvmGetVCPUEvents, kvmSetVCPUEvents,
	kvmGetDebugRegs, kvmSetDebugRegs, kvmSetTSCKHz, kvmEnableCap, kvmGetTSCKHz, kvmGetXSAVE, kvmSetXSAVE, kvmGetXCRS, kvmSetXCRS,
	kvmKVMClockCtrl, kvmGetXSAVE2,
}

// constants are numbers of the header under their names there; offsets into struct kvm_run are "offsetof" expressions.
var constants = []struct {
	c     string
	value uint64
}{
	{"KVM_API_VERSION", apiVersion},
	{"KVM_RUN", RequestRun}, {"KVM_IRQ_LINE", RequestIRQLine},
	{"KVM_CPUID_FLAG_SIGNIFCANT_INDEX", CPUIDFlagSignificantIndex},
	{"KVM_MEM_LOG_DIRTY_PAGES", MemLogDirtyPages}, {"KVM_MEM_READONLY", MemReadonly},
	{"KVM_IRQFD_FLAG_DEASSIGN", irqfdDeassign},
	{"KVM_IOEVENTFD_FLAG_DATAMATCH", ioeventfdDataMatch}, {"KVM_IOEVENTFD_FLAG_PIO", ioeventfdPIO},
	{"KVM_IOEVENTFD_FLAG_DEASSIGN", ioeventfdDeassign},
	{"KVM_IRQCHIP_PIC_MASTER", IRQChipPICMaster}, {"KVM_IRQCHIP_PIC_SLAVE", IRQChipPICSlave}, {"KVM_IRQCHIP_IOAPIC", IRQChipIOAPIC},
	{"KVM_CLOCK_TSC_STABLE", ClockTSCStable}, {"KVM_CLOCK_REALTIME", ClockRealtime}, {"KVM_CLOCK_HOST_TSC", ClockHostTSC},
	{"KVM_MP_STATE_RUNNABLE", uint64(MPStateRunnable)}, {"KVM_MP_STATE_UNINITIALIZED", uint64(MPStateUninitialized)},
	{"KVM_MP_STATE_INIT_RECEIVED", uint64(MPStateInitReceived)}, {"KVM_MP_STATE_HALTED", uint64(MPStateHalted)},
	{"KVM_MP_STATE_SIPI_RECEIVED", uint64(MPStateSIPIReceived)},

	{"KVM_CAP_IRQCHIP", uint64(CapIRQChip)}, {"KVM_CAP_HLT", uint64(CapHLT)}, {"KVM_CAP_USER_MEMORY", uint64(CapUserMemory)},
	{"KVM_CAP_SET_TSS_ADDR", uint64(CapSetTSSAddr)}, {"KVM_CAP_EXT_CPUID", uint64(CapExtCPUID)},
	{"KVM_CAP_NR_VCPUS", uint64(CapNrVCPUs)}, {"KVM_CAP_NR_MEMSLOTS", uint64(CapNrMemslots)},
	{"KVM_CAP_MP_STATE", uint64(CapMPState)}, {"KVM_CAP_IRQFD", uint64(CapIRQFD)}, {"KVM_CAP_IOEVENTFD", uint64(CapIOEventFD)},
	{"KVM_CAP_SET_IDENTITY_MAP_ADDR", uint64(CapSetIdentityMapAddr)}, {"KVM_CAP_ADJUST_CLOCK", uint64(CapAdjustClock)},
	{"KVM_CAP_VCPU_EVENTS", uint64(CapVCPUEvents)}, {"KVM_CAP_DEBUGREGS", uint64(CapDebugRegs)}, {"KVM_CAP_XSAVE", uint64(CapXSAVE)},
	{"KVM_CAP_XCRS", uint64(CapXCRS)}, {"KVM_CAP_TSC_CONTROL", uint64(CapTSCControl)}, {"KVM_CAP_GET_TSC_KHZ", uint64(CapGetTSCKHz)},
	{"KVM_CAP_MAX_VCPUS", uint64(CapMaxVCPUs)}, {"KVM_CAP_TSC_DEADLINE_TIMER", uint64(CapTSCDeadlineTimer)},
	{"KVM_CAP_KVMCLOCK_CTRL", uint64(CapKVMClockCtrl)}, {"KVM_CAP_IMMEDIATE_EXIT", uint64(CapImmediateExit)},
	{"KVM_CAP_XSAVE2", uint64(CapXSAVE2)},

	{"KVM_EXIT_UNKNOWN", uint64(ExitUnknown)}, {"KVM_EXIT_EXCEPTION", uint64(ExitException)}, {"KVM_EXIT_IO", uint64(ExitIO)},
	{"KVM_EXIT_HYPERCALL", uint64(ExitHypercall)}, {"KVM_EXIT_DEBUG", uint64(ExitDebug)}, {"KVM_EXIT_HLT", uint64(ExitHLT)},
	{"KVM_EXIT_MMIO", uint64(ExitMMIO)}, {"KVM_EXIT_IRQ_WINDOW_OPEN", uint64(ExitIRQWindowOpen)},
	{"KVM_EXIT_SHUTDOWN", uint64(ExitShutdown)}, {"KVM_EXIT_FAIL_ENTRY", uint64(ExitFailEntry)}, {"KVM_EXIT_INTR", uint64(ExitIntr)},
	{"KVM_EXIT_INTERNAL_ERROR", uint64(ExitInternalError)}, {"KVM_EXIT_SYSTEM_EVENT", uint64(ExitSystemEvent)},
	{"KVM_EXIT_X86_BUS_LOCK", uint64(ExitX86BusLock)}, {"KVM_EXIT_NOTIFY", uint64(ExitNotify)},
	{"KVM_SYSTEM_EVENT_SHUTDOWN", uint64(SystemEventShutdown)}, {"KVM_SYSTEM_EVENT_RESET", uint64(SystemEventReset)},
	{"KVM_SYSTEM_EVENT_CRASH", uint64(SystemEventCrash)},

	{"offsetof(struct kvm_run, immediate_exit)", runImmediateExit}, {"offsetof(struct kvm_run, exit_reason)", runExitReason},
	{"offsetof(struct kvm_run, io.direction)", ioDirection}, {"offsetof(struct kvm_run, io.size)", ioSize},
	{"offsetof(struct kvm_run, io.port)", ioPort}, {"offsetof(struct kvm_run, io.count)", ioCount},
	{"offsetof(struct kvm_run, io.data_offset)", ioDataOffset},
	{"offsetof(struct kvm_run, mmio.phys_addr)", mmioPhysAddr}, {"offsetof(struct kvm_run, mmio.data)", mmioData},
	{"offsetof(struct kvm_run, mmio.len)", mmioLen}, {"offsetof(struct kvm_run, mmio.is_write)", mmioIsWrite},
	{"offsetof(struct kvm_run, fail_entry.hardware_entry_failure_reason)", failEntryReason},
	{"offsetof(struct kvm_run, fail_entry.cpu)", failEntryCPU},
	{"offsetof(struct kvm_run, internal.suberror)", internalSuberror}, {"offsetof(struct kvm_run, internal.ndata)", internalNData},
	{"offsetof(struct kvm_run, internal.data)", internalData},
	{"offsetof(struct kvm_run, system_event.type)", systemEventType},
	{"offsetof(struct kvm_run, hw.hardware_exit_reason)", hardwareExitReason},
	// KVM_EXIT_MEMORY_FAULT is younger than Debian's header; api.rst section 5 has the structure.
}

// ours renders what this package believes.
func ours() string {
	var b strings.Builder
	for _, s := range structures {
		fmt.Fprintf(&b, "sizeof(struct %s) = %d\n", s.c, s.goes.Size())
		writeOffsets(&b, s.c, "", s.goes, 0)
	}
	for _, r := range requests {
		fmt.Fprintf(&b, "%s = %d\n", r.name, r.number)
	}
	for _, c := range constants {
		fmt.Fprintf(&b, "%s = %d\n", c.c, c.value)
	}
	return b.String()
}

// writeOffsets renders where a structure has its fields, those of structures without a name of their own included.
func writeOffsets(b *strings.Builder, c, prefix string, s reflect.Type, base uintptr) {
	for i := range s.NumField() {
		f := s.Field(i)
		name := prefix + cName(f.Name)
		fmt.Fprintf(b, "offsetof(struct %s, %s) = %d\n", c, name, base+f.Offset)
		if f.Type.Kind() == reflect.Struct && f.Type.Name() == "" {
			writeOffsets(b, c, name+".", f.Type, base+f.Offset)
		}
	}
}

// cName turns the name of a Go field into the kernel's: UserspaceAddr is userspace_addr, ChipID is chip_id.
// Where that rule is not enough, cNames has the name.
func cName(name string) string {
	if exception := cNames[name]; exception != "" {
		return exception
	}
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(runes[i-1]) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

var cNames = map[string]string{
	"APICBase": "apic_base", "MPState": "mp_state", "SIPIVector": "sipi_vector", "SMMInsideNMI": "smm_inside_nmi",
	"NrXCRS": "nr_xcrs", "ResampleFD": "resamplefd", "DataMatch": "datamatch", "HostTSC": "host_tsc",
}

// TestABI holds what we believe against what the kernel's header said when testdata/abi.txt was written.
func TestABI(t *testing.T) {
	golden, err := os.ReadFile("testdata/abi.txt")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, ours(), string(golden))
}

// TestABIAgainstHeader writes abi.txt anew, out of this machine's own header. VOIDBOX_UPDATE=1 keeps it.
func TestABIAgainstHeader(t *testing.T) {
	const header = "/usr/include/linux/kvm.h"
	if _, err := os.Stat(header); err != nil {
		t.Skip("no kernel headers on this machine (Debian: linux-libc-dev); TestABI has what they said elsewhere")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc on this machine; TestABI has what it said elsewhere")
	}
	theirs := compile(t, gcc)
	if os.Getenv("VOIDBOX_UPDATE") == "1" {
		if err := os.WriteFile("testdata/abi.txt", []byte(theirs), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, ours(), theirs)
}

// compile asks the C compiler for the value of every expression in ours.
func compile(t *testing.T, gcc string) string {
	t.Helper()
	var source bytes.Buffer
	source.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <linux/kvm.h>\nint main(void) {\n")
	for line := range strings.Lines(ours()) {
		expression, _, _ := strings.Cut(line, " = ")
		fmt.Fprintf(&source, "\tprintf(\"%%s = %%llu\\n\", %q, (unsigned long long)(%s));\n", expression, expression)
	}
	source.WriteString("\treturn 0;\n}\n")
	dir := t.TempDir()
	program := filepath.Join(dir, "abi")
	if err := os.WriteFile(program+".c", source.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-o", program, program+".c").CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func diff(t *testing.T, ours, theirs string) {
	t.Helper()
	a, b := strings.Split(ours, "\n"), strings.Split(theirs, "\n")
	if len(a) != len(b) {
		t.Errorf("%d lines here, %d in the kernel's view", len(a), len(b))
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("here %q, the kernel says %q", a[i], b[i])
		}
	}
}

// TestRequestsComplete keeps a new request from escaping the comparison.
func TestRequestsComplete(t *testing.T) {
	source, err := os.ReadFile("requests.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), `, "KVM_`); n != len(requests) {
		t.Errorf("requests.go defines %d requests, %d are compared", n, len(requests))
	}
}
