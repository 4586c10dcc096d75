package shell

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

// Limits that ulimit set live in a hidden variable, since variables already are what a subshell inherits and cannot give back.
// A script that writes to it by itself can only lower its limits: see limits.

// rlimit is one letter of ulimit.
type rlimit struct {
	letter byte
	name   string
	unit   uint64
	get    func(l *programs.Limits) uint64
	set    func(l *programs.Limits, v uint64)
}

var rlimits = []rlimit{
	{'f', "file size (blocks)", 512, func(l *programs.Limits) uint64 { return l.FileBytes }, func(l *programs.Limits, v uint64) { l.FileBytes = v }},
	{'n', "open files", 1, func(l *programs.Limits) uint64 { return l.OpenFiles }, func(l *programs.Limits, v uint64) { l.OpenFiles = v }},
	{'u', "processes", 1, func(l *programs.Limits) uint64 { return l.Processes }, func(l *programs.Limits, v uint64) { l.Processes = v }},
	{'v', "memory (kbytes)", 1024, func(l *programs.Limits) uint64 { return l.MemoryBytes }, func(l *programs.Limits, v uint64) { l.MemoryBytes = v }},
	{
		't', "cpu time (seconds)", 1,
		func(l *programs.Limits) uint64 { return uint64((l.CPUTime + time.Second - 1) / time.Second) },
		func(l *programs.Limits, v uint64) { l.CPUTime = time.Duration(min(v, 1<<32)) * time.Second },
	},
}

// written is the limits as the variable has them.
func written(l programs.Limits) string {
	var values []string
	for _, r := range rlimits {
		values = append(values, strconv.FormatUint(r.get(&l), 10))
	}
	return strings.Join(values, " ")
}

// limits are those in force where env is: the process's own, or what the variable lowered them to.
func (s *script) limits(env expand.Environ) programs.Limits {
	limits := s.proc.Limits
	values := strings.Fields(env.Get(varLimits).String())
	if len(values) != len(rlimits) {
		return limits
	}
	for i, r := range rlimits {
		own := r.get(&limits)
		if v, err := strconv.ParseUint(values[i], 10, 64); err == nil && v > 0 && (own == 0 || v < own) {
			r.set(&limits, v)
		}
	}
	return limits
}

// ulimit is the builtin. It returns the command that takes its place.
func (s *script) ulimit(hc interp.HandlerContext, process *Process, args []string) []string {
	letter, value, all := byte('f'), "", false
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "-") {
			value = a
			continue
		}
		for _, c := range []byte(a[1:]) {
			switch c {
			case 'a':
				all = true
			case 'H', 'S':
			case 'p':
				letter = 'u' // busybox
			case 'd', 'm':
				letter = 'v'
			default:
				letter = c
			}
		}
	}
	limits := s.limits(hc.Env)
	if all {
		return []string{own + "printf", "%s", table(limits)}
	}
	for _, r := range rlimits {
		if r.letter != letter {
			continue
		}
		if value == "" {
			return []string{own + "echo", shown(r, limits)}
		}
		return s.lower(hc, process, limits, r, value)
	}
	fmt.Fprintf(hc.Stderr, "ulimit: -%c: invalid option\n", letter)
	return []string{"false"}
}

func (s *script) lower(hc interp.HandlerContext, process *Process, limits programs.Limits, r rlimit, value string) []string {
	old := r.get(&limits)
	n, err := strconv.ParseUint(value, 10, 50)
	switch {
	case value == "unlimited" && old == 0:
		return []string{"true"}
	case value == "unlimited", err == nil && old > 0 && n*r.unit > old:
		fmt.Fprintf(hc.Stderr, "ulimit: -%c: cannot modify limit: Operation not permitted\n", r.letter)
		return []string{"false"}
	case err != nil:
		fmt.Fprintf(hc.Stderr, "ulimit: %s: invalid number\n", value)
		return []string{"false"}
	}
	// Zero is how no limit is written down, and a limit that lets nothing pass is near enough to one.
	r.set(&limits, max(n*r.unit, 1))
	process.clock.lower(limits.CPUTime)
	return []string{"eval", varLimits + "='" + written(limits) + "'"}
}

func shown(r rlimit, limits programs.Limits) string {
	if v := r.get(&limits); v > 0 {
		return strconv.FormatUint(v/r.unit, 10)
	}
	return "unlimited"
}

func table(limits programs.Limits) string {
	var b strings.Builder
	for _, r := range rlimits {
		fmt.Fprintf(&b, "-%c: %-20s %s\n", r.letter, r.name, shown(r, limits))
	}
	return b.String()
}
