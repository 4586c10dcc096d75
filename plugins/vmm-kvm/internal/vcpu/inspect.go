package vcpu

import (
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

// maxInstruction is the length of the longest instruction of an x86 CPU, in bytes.
const maxInstruction = 15

// inspect returns the registers of a vCPU that nobody runs, and the instruction at which it stands, by name: "rip", "rax", "cr0",
// "efer", "cs" and so on, all in hexadecimal, and "code", the bytes at RIP. What cannot be read is left out.
func inspect(v *kvm.VCPU, mem *virtio.Memory) map[string]string {
	state := map[string]string{}
	regs, err := v.GetRegs()
	if err != nil {
		return state
	}
	addRegs(state, regs)
	sregs, err := v.GetSregs()
	if err != nil {
		return state
	}
	addSregs(state, sregs)
	if code := codeAt(v, mem, sregs.CS.Base+regs.RIP); len(code) > 0 {
		state["code"] = fmt.Sprintf("% x", code)
	}
	return state
}

func addRegs(state map[string]string, r kvm.Regs) {
	for name, value := range map[string]uint64{
		"rax": r.RAX, "rbx": r.RBX, "rcx": r.RCX, "rdx": r.RDX, "rsi": r.RSI, "rdi": r.RDI, "rsp": r.RSP, "rbp": r.RBP,
		"r8": r.R8, "r9": r.R9, "r10": r.R10, "r11": r.R11, "r12": r.R12, "r13": r.R13, "r14": r.R14, "r15": r.R15,
		"rip": r.RIP, "rflags": r.RFLAGS,
	} {
		state[name] = fmt.Sprintf("%#x", value)
	}
}

func addSregs(state map[string]string, s kvm.Sregs) {
	for name, value := range map[string]uint64{
		"cr0": s.CR0, "cr2": s.CR2, "cr3": s.CR3, "cr4": s.CR4, "cr8": s.CR8, "efer": s.EFER, "apic_base": s.APICBase,
		"cs": uint64(s.CS.Selector), "ds": uint64(s.DS.Selector), "es": uint64(s.ES.Selector), "fs": uint64(s.FS.Selector),
		"gs": uint64(s.GS.Selector), "ss": uint64(s.SS.Selector), "tr": uint64(s.TR.Selector), "ldt": uint64(s.LDT.Selector),
		"cs_base": s.CS.Base, "fs_base": s.FS.Base, "gs_base": s.GS.Base,
		"gdt": s.GDT.Base, "gdt_limit": uint64(s.GDT.Limit), "idt": s.IDT.Base, "idt_limit": uint64(s.IDT.Limit),
	} {
		state[name] = fmt.Sprintf("%#x", value)
	}
}

// codeAt returns up to maxInstruction bytes at a linear address, fewer where the next page is not there.
func codeAt(v *kvm.VCPU, mem *virtio.Memory, linear uint64) []byte {
	const page = 4096
	var code []byte
	for len(code) < maxInstruction {
		at := linear + uint64(len(code))
		physical, ok, err := v.Translate(at)
		if err != nil || !ok {
			break
		}
		n := min(maxInstruction-uint64(len(code)), page-at%page)
		part, err := read(mem, physical, n)
		if err != nil {
			break
		}
		code = append(code, part...)
	}
	return code
}

// read copies guest memory, which may be gone.
func read(mem *virtio.Memory, addr, n uint64) ([]byte, error) {
	p := make([]byte, n)
	var failed error
	err := virtio.Protect(func() { failed = mem.ReadAt(p, addr) })
	if err == nil {
		err = failed
	}
	return p, err
}
