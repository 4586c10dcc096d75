package programs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func ps(p *Proc) int {
	w := p.lines()
	defer w.Flush()
	w.WriteString("    PID    PPID USER     COMMAND\n")
	for _, proc := range p.Sys.Processes() {
		fmt.Fprintf(w, "%7d %7d %-8s %s\n", proc.PID, proc.PPID, p.userName(proc.UID), strings.Join(proc.Args, " "))
	}
	return 0
}

func kill(p *Proc) int {
	args, signal := p.Args[1:], 15
	if len(args) > 0 && args[0] == "-l" {
		for n := 1; n < 32; n++ {
			p.printf("%d) %s\n", n, sandbox.SignalName(n))
		}
		return 0
	}
	if len(args) > 1 && strings.HasPrefix(args[0], "-") {
		name := args[0][1:]
		args = args[1:]
		if name == "s" && len(args) > 1 {
			name, args = args[0], args[1:]
		}
		n, err := strconv.Atoi(name)
		if err != nil {
			var ok bool
			if n, ok = sandbox.SignalNumber(strings.TrimPrefix(strings.ToUpper(name), "SIG")); !ok {
				p.errorf("%s: invalid signal specification", name)
				return 1
			}
		}
		signal = n
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	status := 0
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil {
			p.errorf("%s: arguments must be process or job IDs", a)
			return 1
		}
		if err := p.Sys.Kill(p, pid, signal); err != nil {
			p.errorf("(%d) - %s", pid, sentence(err))
			status = 1
		}
	}
	return status
}

func nohup(p *Proc) int {
	if len(p.Args) < 2 {
		p.errorf("missing operand")
		return 125
	}
	return p.Sys.Run(p, p.Args[1:], p.Env)
}

// timeout ends another program after a while, with status 124.
func timeout(p *Proc) int {
	o, ok := p.parse("+s:k:", nil)
	if !ok || len(o.rest) < 2 {
		p.errorf("expects a duration and a command")
		return 125
	}
	d, ok := duration(o.rest[0])
	if !ok {
		p.errorf("invalid time interval '%s'", o.rest[0])
		return 125
	}
	ctx, cancel := context.WithTimeout(p.Ctx, d)
	defer cancel()
	inner := *p
	inner.Ctx = ctx
	status := p.Sys.Run(&inner, o.rest[1:], p.Env)
	if ctx.Err() != nil && p.Ctx.Err() == nil {
		return 124
	}
	return status
}
