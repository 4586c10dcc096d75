//go:build linux && amd64

package seccomp

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Action is a filter's verdict on a call.
type Action uint32

// Actions.
const (
	Allow Action = unix.SECCOMP_RET_ALLOW
	Kill  Action = unix.SECCOMP_RET_KILL_PROCESS // ends the process with SIGSYS
)

// Errno refuses a call with an error.
func Errno(e unix.Errno) Action { return unix.SECCOMP_RET_ERRNO | Action(e)&unix.SECCOMP_RET_DATA }

// Arg is a demand on an argument: Value is what remains of it under Mask.
type Arg struct {
	Index       int
	Mask, Value uint64
}

// Equal demands that an argument has a value.
func Equal(index int, value uint64) Arg { return Arg{Index: index, Mask: ^uint64(0), Value: value} }

// Equal32 demands the same of an argument that the kernel takes for an int, such as the request of ioctl(2): it does not look at
// the upper half, and nor may the filter.
func Equal32(index int, value uint32) Arg {
	return Arg{Index: index, Mask: 1<<32 - 1, Value: uint64(value)}
}

// Without demands that none of the bits are set.
func Without(index int, bits uint64) Arg { return Arg{Index: index, Mask: bits} }

// With demands that all of the bits are set.
func With(index int, bits uint64) Arg { return Arg{Index: index, Mask: bits, Value: bits} }

// Rule gives its action to a system call whose arguments meet all demands. Rules for one call are tried in their order.
type Rule struct {
	Call   uintptr
	Args   []Arg
	Action Action
}

// AllowAll allows calls whatever their arguments are.
func AllowAll(calls ...uintptr) []Rule {
	rules := make([]Rule, 0, len(calls))
	for _, call := range calls {
		rules = append(rules, Rule{Call: call, Action: Allow})
	}
	return rules
}

// AllowIf allows a call whose arguments meet all demands.
func AllowIf(call uintptr, args ...Arg) Rule { return Rule{Call: call, Args: args, Action: Allow} }

// AllowRequests allows an ioctl with one of the requests, on any descriptor.
func AllowRequests(requests ...uint32) []Rule {
	rules := make([]Rule, 0, len(requests))
	for _, r := range requests {
		rules = append(rules, AllowIf(unix.SYS_IOCTL, Equal32(1, r)))
	}
	return rules
}

// Filter is a list of rules, and what happens to all other calls.
type Filter struct {
	Rules   []Rule
	Default Action
}

// Offsets in struct seccomp_data.
const (
	numberAt    = 0
	archAt      = 4
	argumentsAt = 16
)

// maxInstructions is BPF_MAXINSNS of the kernel.
const maxInstructions = 4096

// maxJump is the longest distance of a conditional jump.
const maxJump = 255

// program assembles the filter.
func (f Filter) program() ([]unix.SockFilter, error) {
	out := []unix.SockFilter{
		load(archAt),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.AUDIT_ARCH_X86_64},
		ret(Kill), // another architecture's numbers mean other calls
		load(numberAt),
	}
	for _, group := range f.groups() {
		body, err := f.body(group)
		if err != nil {
			return nil, fmt.Errorf("system call %d: %w", group[0].Call, err)
		}
		// A body ends in a verdict, so that the accumulator still holds the number where the next one begins.
		out = append(out, jumpUnlessEqual(uint32(group[0].Call), len(body)))
		out = append(out, body...)
	}
	out = append(out, ret(f.Default))
	if len(out) > maxInstructions {
		return nil, fmt.Errorf("the filter has %d instructions, at most %d are possible", len(out), maxInstructions)
	}
	return out, nil
}

// groups gathers the rules of each call, in the order in which the calls first appear.
func (f Filter) groups() [][]Rule {
	var groups [][]Rule
	at := map[uintptr]int{}
	for _, r := range f.Rules {
		i, known := at[r.Call]
		if !known {
			i = len(groups)
			at[r.Call] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// body decides on one call.
func (f Filter) body(rules []Rule) ([]unix.SockFilter, error) {
	var out []unix.SockFilter
	for _, r := range rules {
		code, err := r.code()
		if err != nil {
			return nil, err
		}
		out = append(out, code...)
	}
	if unconditional := slices.ContainsFunc(rules, func(r Rule) bool { return len(r.Args) == 0 }); !unconditional {
		out = append(out, ret(f.Default))
	}
	if len(out) > maxJump {
		return nil, fmt.Errorf("%d instructions, at most %d can be jumped over", len(out), maxJump)
	}
	return out, nil
}

// code returns the verdict where all demands are met, and else goes on behind it.
func (r Rule) code() ([]unix.SockFilter, error) {
	var tests []unix.SockFilter
	var jumps []int // indices in tests of the jumps that leave
	for _, a := range r.Args {
		if a.Index < 0 || a.Index > 5 {
			return nil, errors.New("a system call has six arguments")
		}
		if a.Value&^a.Mask != 0 {
			return nil, fmt.Errorf("argument %d can never be %#x under the mask %#x", a.Index, a.Value, a.Mask)
		}
		at := uint32(argumentsAt + 8*a.Index)
		for _, half := range []struct{ at, mask, value uint32 }{
			{at, uint32(a.Mask), uint32(a.Value)},
			{at + 4, uint32(a.Mask >> 32), uint32(a.Value >> 32)},
		} {
			if half.mask == 0 {
				continue
			}
			tests = append(tests, load(half.at))
			if half.mask != 1<<32-1 {
				tests = append(tests, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: half.mask})
			}
			jumps = append(jumps, len(tests))
			tests = append(tests, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: half.value})
		}
	}
	for _, at := range jumps {
		tests[at].Jf = uint8(len(tests) - at) // over the rest and the verdict
	}
	return append(tests, ret(r.Action)), nil
}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func ret(a Action) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(a)}
}

func jumpUnlessEqual(value uint32, distance int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(distance), K: value}
}
