package cpu

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

const allBits = 0xffffffff

// host is what KVM_GET_SUPPORTED_CPUID could return on a host, asked on the CPU with the given APIC id.
func host(vendor string, apicID uint32) []kvm.CPUIDEntry2 {
	return []kvm.CPUIDEntry2{
		{Function: 0, EAX: 0x1f, EBX: word(vendor[0:]), EDX: word(vendor[4:]), ECX: word(vendor[8:])},
		{Function: 1, EAX: 0x906ea, EBX: apicID<<24 | 16<<16 | 8<<8, ECX: allBits &^ (featureTSCDeadline | featureHypervisor), EDX: allBits},
		indexed(kvm.CPUIDEntry2{Function: 4, Index: 0, EAX: 63<<26 | 1<<14 | 1<<5 | 1, EBX: 0x1c0003f, ECX: 63}),
		indexed(kvm.CPUIDEntry2{Function: 4, Index: 1, EAX: 63<<26 | 31<<14 | 3<<5 | 3, EBX: 0x3c0003f, ECX: 8191}),
		indexed(kvm.CPUIDEntry2{Function: 4, Index: 2}),
		{Function: 0xa, EAX: 0x8300805, EDX: 0x603},
		indexed(kvm.CPUIDEntry2{Function: 0xb, Index: 0, EAX: 1, EBX: 2, ECX: 0x100, EDX: apicID}),
		indexed(kvm.CPUIDEntry2{Function: 0x1f, Index: 0, EAX: 1, EBX: 2, ECX: 0x100, EDX: apicID}),
		{Function: 0x40000000, EAX: 0x40000001, EBX: word("KVMK"), ECX: word("VMKV"), EDX: word("M\x00\x00\x00")},
		{Function: 0x40000001, EAX: 0x01007afb},
		{Function: 0x80000000, EAX: 0x80000022},
		{Function: 0x80000001, ECX: allBits, EDX: allBits},
		{Function: 0x80000008, EAX: 0x3030, EBX: 0x1234, ECX: 0x603f},
		{Function: 0x8000000a, EAX: 1, EBX: 8, EDX: allBits},
		indexed(kvm.CPUIDEntry2{Function: 0x8000001d, Index: 3, EAX: 31<<14 | 3<<5 | 3}),
		{Function: 0x8000001e, EAX: apicID, EBX: apicID/2 | 1<<8, ECX: 3},
		{Function: 0x80000022, EAX: 1, EBX: 6},
	}
}

func indexed(e kvm.CPUIDEntry2) kvm.CPUIDEntry2 {
	e.Flags = kvm.CPUIDFlagSignificantIndex
	return e
}

const (
	intel = "GenuineIntel" // as EBX, EDX, ECX have it
	amd   = "AuthenticAMD"
)

func leaf(t *testing.T, leaves []kvm.CPUIDEntry2, function, index uint32) kvm.CPUIDEntry2 {
	t.Helper()
	found := kvm.CPUIDEntry2{}
	n := 0
	for _, e := range leaves {
		if e.Function == function && (e.Index == index || e.Flags&kvm.CPUIDFlagSignificantIndex == 0) {
			found, n = e, n+1
		}
	}
	if n != 1 {
		t.Fatalf("leaf %#x.%d is there %d times", function, index, n)
	}
	return found
}

func TestFeatures(t *testing.T) {
	for _, vendor := range []string{intel, amd} {
		leaves := CPUID(host(vendor, 5), 1, 4)
		f := leaf(t, leaves, 1, 0)
		if f.ECX&featureHypervisor == 0 || f.ECX&featureTSCDeadline == 0 || f.ECX&featureVMX != 0 {
			t.Errorf("%s: leaf 1 ECX %#x", vendor, f.ECX)
		}
		if f.EBX>>8&0xff != 8 || f.EAX != 0x906ea {
			t.Errorf("%s: leaf 1 lost the host's bits: %+v", vendor, f)
		}
		if e := leaf(t, leaves, 0x80000001, 0); e.ECX&extSVM != 0 || e.ECX&extPerfCtrCore != 0 || e.EDX != allBits {
			t.Errorf("%s: extended features %+v", vendor, e)
		}
		for _, function := range []uint32{0xa, 0x8000000a, 0x80000022} {
			if e := leaf(t, leaves, function, 0); e.EAX|e.EBX|e.ECX|e.EDX != 0 {
				t.Errorf("%s: leaf %#x is %+v, want nothing", vendor, function, e)
			}
		}
		if e := leaf(t, leaves, 0x40000001, 0); e.EAX != 0x01007afb {
			t.Errorf("%s: KVM's features are %#x", vendor, e.EAX)
		}
		if e := leaf(t, leaves, 0x40000000, 0); e.EBX != word("KVMK") {
			t.Errorf("%s: KVM's signature is %+v", vendor, e)
		}
	}
}

// TestTopology checks that the leaves tell the same story, whatever the number of vCPUs: a package of cores with one thread each.
func TestTopology(t *testing.T) {
	for count := 1; count <= 16; count++ {
		shift := uint32(0)
		for 1<<shift < count {
			shift++
		}
		n := uint32(count)
		for id := range count {
			for _, vendor := range []string{intel, amd} {
				leaves := CPUID(host(vendor, 5), id, count)
				at := fmt.Sprintf("%s, vCPU %d of %d", vendor, id, count)
				f := leaf(t, leaves, 1, 0)
				if f.EBX>>24 != uint32(id) || f.EBX>>16&0xff != n || (f.EDX&featureHTT != 0) != (count > 1) {
					t.Errorf("%s: leaf 1 is %+v", at, f)
				}
				for _, function := range []uint32{0xb, 0x1f} {
					thread, core, last := leaf(t, leaves, function, 0), leaf(t, leaves, function, 1), leaf(t, leaves, function, 2)
					if thread.EAX != 0 || thread.EBX != 1 || thread.ECX != 0x100 || core.EAX != shift || core.EBX != n || core.ECX != 0x201 || last.ECX != 2 || last.EBX != 0 {
						t.Errorf("%s: leaf %#x is %+v, %+v, %+v", at, function, thread, core, last)
					}
					if thread.EDX != uint32(id) || core.EDX != uint32(id) {
						t.Errorf("%s: leaf %#x has the APIC ids %d and %d", at, function, thread.EDX, core.EDX)
					}
				}
				l1, l3, end := leaf(t, leaves, 4, 0), leaf(t, leaves, 4, 1), leaf(t, leaves, 4, 2)
				if l1.EAX>>14&0xfff != 0 || l3.EAX>>14&0xfff != 1<<shift-1 || l1.EAX>>26 != 1<<shift-1 || l3.EAX>>26 != 1<<shift-1 || end.EAX != 0 {
					t.Errorf("%s: caches are %#x, %#x, %#x", at, l1.EAX, l3.EAX, end.EAX)
				}
				if l3.ECX != 8191 {
					t.Errorf("%s: cache size was changed", at)
				}
				size, ext, amdID := leaf(t, leaves, 0x80000008, 0), leaf(t, leaves, 0x80000001, 0), leaf(t, leaves, 0x8000001e, 0)
				if vendor == amd && (size.ECX != shift<<12|(n-1) || (ext.ECX&extCmpLegacy != 0) != (count > 1)) {
					t.Errorf("%s: cores are %#x, extended features %#x", at, size.ECX, ext.ECX)
				}
				if vendor == intel && (size.ECX != 0x603f || ext.ECX&extCmpLegacy != 0) {
					t.Errorf("%s: AMD's fields are set: %#x, %#x", at, size.ECX, ext.ECX)
				}
				if amdID.EAX != uint32(id) || amdID.EBX != uint32(id) || amdID.ECX != 0 {
					t.Errorf("%s: leaf 0x8000001e is %+v", at, amdID)
				}
				if c := leaf(t, leaves, 0x8000001d, 3); c.EAX>>14&0xfff != 1<<shift-1 {
					t.Errorf("%s: AMD's cache is shared by %d", at, c.EAX>>14&0xfff+1)
				}
			}
		}
	}
}

// TestDeterministic: the same host gives the same leaves, whichever of its CPUs was asked, and vCPUs differ in their APIC ids only.
func TestDeterministic(t *testing.T) {
	for _, vendor := range []string{intel, amd} {
		input := host(vendor, 5)
		kept := slices.Clone(input)
		first := CPUID(input, 3, 8)
		if !reflect.DeepEqual(input, kept) {
			t.Error("the host's leaves were changed")
		}
		if again := CPUID(host(vendor, 77), 3, 8); !reflect.DeepEqual(first, again) {
			t.Errorf("%s: another CPU of the host makes a difference:\n%+v\n%+v", vendor, first, again)
		}
		other := CPUID(input, 6, 8)
		if reflect.DeepEqual(first, other) {
			t.Error("two vCPUs have the same APIC id")
		}
		for _, leaves := range [][]kvm.CPUIDEntry2{first, other} {
			for i := range leaves {
				switch e := &leaves[i]; e.Function {
				case 1:
					e.EBX &= 0xffffff
				case 0xb, 0x1f:
					e.EDX = 0
				case 0x8000001e:
					e.EAX, e.EBX = 0, 0
				}
			}
		}
		if !reflect.DeepEqual(first, other) {
			t.Errorf("%s: vCPUs differ in more than their APIC ids:\n%+v\n%+v", vendor, first, other)
		}
	}
}

// TestSmallHost has a host whose CPU knows no extended topology.
func TestSmallHost(t *testing.T) {
	input := host(intel, 0)
	input[0].EAX = 0xa
	for _, e := range CPUID(input, 0, 2) {
		if e.Function == 0xb || e.Function == 0x1f {
			t.Errorf("there is a leaf %#x above the highest", e.Function)
		}
	}
	if got := CPUID(nil, 0, 1); len(got) != 0 {
		t.Errorf("out of nothing came %+v", got)
	}
}
