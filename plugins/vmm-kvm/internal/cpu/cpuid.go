package cpu

import (
	"math/bits"
	"slices"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// MaxCPUs is the most vCPUs that CPUID can describe: APIC ids have eight bits, and one value of them means all.
const MaxCPUs = 254

// Leaves of CPUID: Intel's SDM volume 2 (CPUID), AMD's APM volume 3 appendix E.
const (
	leafVendor       = 0
	leafFeatures     = 1
	leafCaches       = 4 // Intel: deterministic cache parameters
	leafPerformance  = 0xa
	leafTopology     = 0xb
	leafTopologyV2   = 0x1f
	leafExtFeatures  = 0x80000001
	leafAddressSizes = 0x80000008
	leafSVM          = 0x8000000a
	leafCachesAMD    = 0x8000001d
	leafTopologyAMD  = 0x8000001e
	leafPerfAMD      = 0x80000022
)

// Bits of leafFeatures and leafExtFeatures.
const (
	featureVMX         = 1 << 5  // ECX
	featureTSCDeadline = 1 << 24 // ECX
	featureHypervisor  = 1 << 31 // ECX
	featureHTT         = 1 << 28 // EDX: there are several logical processors in the package

	extCmpLegacy   = 1 << 1  // ECX: several cores, AMD's way to say it
	extSVM         = 1 << 2  // ECX
	extPerfCtrCore = 1 << 23 // ECX
	extPerfCtrNB   = 1 << 24 // ECX
	extPerfCtrLLC  = 1 << 28 // ECX
)

// CPUID makes the leaves of vCPU id, one of count, out of what the host supports. The same input gives the same output, and two
// vCPUs of a VM differ in their APIC ids only; a host's own APIC ids, which depend on the CPU that we happened to be asked on,
// do not shine through.
//
// The guest sees one package of count cores without hyper-threads. It does not see what only enlarges the attack surface: nested
// virtualization, and performance counters.
func CPUID(supported []kvm.CPUIDEntry2, id, count int) []kvm.CPUIDEntry2 {
	c := topology{id: uint32(id), count: uint32(count), amd: isAMD(supported)}
	leaves := slices.Clone(supported)
	leaves = slices.DeleteFunc(leaves, func(e kvm.CPUIDEntry2) bool {
		return e.Function == leafTopology || e.Function == leafTopologyV2
	})
	for i := range leaves {
		c.fix(&leaves[i])
	}
	for _, function := range []uint32{leafTopology, leafTopologyV2} {
		if function <= maxLeaf(supported) {
			leaves = append(leaves, c.levels(function)...)
		}
	}
	return leaves
}

// topology is a vCPU's place in its VM.
type topology struct {
	id, count uint32
	amd       bool
}

// coreBits is the number of bits of an APIC id that tell cores apart.
func (c topology) coreBits() uint32 { return uint32(bits.Len32(c.count - 1)) }

// coreIDs is the number of APIC ids that the package can have.
func (c topology) coreIDs() uint32 { return 1 << c.coreBits() }

func (c topology) fix(e *kvm.CPUIDEntry2) {
	switch e.Function {
	case leafFeatures:
		e.EBX = e.EBX&0xffff | c.count<<16 | c.id<<24
		e.ECX = e.ECX&^featureVMX | featureTSCDeadline | featureHypervisor
		e.EDX = setIf(e.EDX, featureHTT, c.count > 1)
	case leafCaches:
		c.fixCache(e)
		if cacheType(e) != 0 {
			e.EAX = e.EAX&^(0x3f<<26) | min(c.coreIDs()-1, 0x3f)<<26
		}
	case leafCachesAMD:
		c.fixCache(e)
	case leafPerformance, leafPerfAMD, leafSVM:
		e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
	case leafExtFeatures:
		e.ECX &^= extSVM | extPerfCtrCore | extPerfCtrNB | extPerfCtrLLC
		e.ECX = setIf(e.ECX, extCmpLegacy, c.amd && c.count > 1)
	case leafAddressSizes:
		if c.amd {
			e.ECX = c.coreBits()<<12 | (c.count - 1)
		}
	case leafTopologyAMD:
		e.EAX, e.EBX, e.ECX = c.id, c.id&0xff, 0 // extended APIC id; core id, one thread a core; node 0 of one
	}
}

// fixCache says how many vCPUs share a cache: the leaf has the same shape on Intel and AMD. A core has its first two levels for
// itself, the package shares the others.
func (c topology) fixCache(e *kvm.CPUIDEntry2) {
	if cacheType(e) == 0 {
		return // end of the list
	}
	sharing := uint32(1)
	if level := e.EAX >> 5 & 7; level > 2 {
		sharing = c.coreIDs()
	}
	e.EAX = e.EAX&^(0xfff<<14) | (sharing-1)<<14
}

func cacheType(e *kvm.CPUIDEntry2) uint32 { return e.EAX & 0x1f }

// levels are the subleaves of extended topology enumeration: threads of a core, cores of the package, and the end.
func (c topology) levels(function uint32) []kvm.CPUIDEntry2 {
	const thread, core = 1, 2
	level := func(index, shift, cpus, kind uint32) kvm.CPUIDEntry2 {
		return kvm.CPUIDEntry2{
			Function: function, Index: index, Flags: kvm.CPUIDFlagSignificantIndex,
			EAX: shift, EBX: cpus, ECX: index | kind<<8, EDX: c.id,
		}
	}
	return []kvm.CPUIDEntry2{level(0, 0, 1, thread), level(1, c.coreBits(), c.count, core), level(2, 0, 0, 0)}
}

func setIf(register, bit uint32, on bool) uint32 {
	if on {
		return register | bit
	}
	return register &^ bit
}

func maxLeaf(leaves []kvm.CPUIDEntry2) uint32 {
	for _, e := range leaves {
		if e.Function == leafVendor {
			return e.EAX
		}
	}
	return 0
}

// isAMD recognises AMD and Hygon, whose CPUs describe themselves alike, by the vendor string in EBX, EDX, ECX.
func isAMD(leaves []kvm.CPUIDEntry2) bool {
	for _, e := range leaves {
		if e.Function == leafVendor {
			return e.EBX == word("Auth") && e.ECX == word("cAMD") || e.EBX == word("Hygo") && e.ECX == word("uine")
		}
	}
	return false
}

func word(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
