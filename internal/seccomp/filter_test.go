//go:build linux && amd64

package seccomp

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict runs the filter on a call in x/net's BPF machine, which reads words in network order.
func verdict(t *testing.T, f Filter, arch uint32, call uintptr, args ...uint64) Action {
	t.Helper()
	program, err := f.program()
	if err != nil {
		t.Fatal(err)
	}
	var raw []bpf.RawInstruction
	for _, i := range program {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	instructions, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program cannot be disassembled")
	}
	machine, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	data := binary.BigEndian.AppendUint32(nil, uint32(call))
	data = binary.BigEndian.AppendUint32(data, arch)
	data = binary.BigEndian.AppendUint64(data, 0)
	for i := range 6 {
		var a uint64
		if i < len(args) {
			a = args[i]
		}
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	out, err := machine.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return Action(out)
}

var example = Filter{
	Default: Kill,
	Rules: append(append(AllowAll(unix.SYS_READ, unix.SYS_WRITE),
		AllowIf(unix.SYS_MMAP, Without(2, unix.PROT_EXEC), Equal(5, 0)),
		AllowIf(unix.SYS_CLONE, With(0, unix.CLONE_THREAD)),
		AllowIf(unix.SYS_TGKILL, Equal(0, 1<<40|7)),
		Rule{Call: unix.SYS_CLONE3, Action: Errno(unix.ENOSYS)}),
		AllowRequests(0xae80, 0x4090ae82)...),
}

func TestVerdicts(t *testing.T) {
	const native = unix.AUDIT_ARCH_X86_64
	for _, c := range []struct {
		name string
		arch uint32
		call uintptr
		args []uint64
		want Action
	}{
		{"on the list", native, unix.SYS_READ, nil, Allow},
		{"last without arguments", native, unix.SYS_WRITE, []uint64{1, 2, 3}, Allow},
		{"not on the list", native, unix.SYS_OPEN, nil, Kill},
		{"numbers of i386", unix.AUDIT_ARCH_I386, unix.SYS_READ, nil, Kill},
		{"numbers of x32", native, unix.SYS_READ | 0x40000000, nil, Kill},
		{"plain memory", native, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, Allow},
		{"executable memory", native, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_EXEC}, Kill},
		{"second demand fails", native, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ, 0, 0, 1 << 32}, Kill},
		{"thread", native, unix.SYS_CLONE, []uint64{unix.CLONE_THREAD | unix.CLONE_VM}, Allow},
		{"process", native, unix.SYS_CLONE, []uint64{unix.CLONE_VM}, Kill},
		{"both halves", native, unix.SYS_TGKILL, []uint64{1<<40 | 7}, Allow},
		{"upper half differs", native, unix.SYS_TGKILL, []uint64{7}, Kill},
		{"refused with an error", native, unix.SYS_CLONE3, nil, Errno(unix.ENOSYS)},
		{"first request", native, unix.SYS_IOCTL, []uint64{5, 0xae80}, Allow},
		{"second request", native, unix.SYS_IOCTL, []uint64{5, 0x4090ae82}, Allow},
		{"request with rubbish above", native, unix.SYS_IOCTL, []uint64{5, 0xdead_0000_ae80}, Allow},
		{"another request", native, unix.SYS_IOCTL, []uint64{5, unix.TIOCSTI}, Kill},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verdict(t, example, c.arch, c.call, c.args...); got != c.want {
				t.Errorf("verdict %#x, want %#x", uint32(got), uint32(c.want))
			}
		})
	}
}

func TestImpossibleRulesAreRefused(t *testing.T) {
	for says, f := range map[string]Filter{
		"six arguments":      {Rules: []Rule{AllowIf(unix.SYS_READ, Equal(6, 0))}},
		"can never be":       {Rules: []Rule{AllowIf(unix.SYS_READ, Arg{Mask: 1, Value: 2})}},
		"can be jumped over": {Rules: AllowRequests(make([]uint32, 200)...)},
		"at most 4096 are pos": {Rules: AllowAll(func() (many []uintptr) {
			for i := range uintptr(3000) {
				many = append(many, i)
			}
			return many
		}()...)},
	} {
		if _, err := f.program(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error = %v, want %q in it", err, says)
		}
	}
}
