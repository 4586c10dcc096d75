package programs

import "strings"

func uname(p *Proc) int {
	o, ok := p.parse("asnrvmpio", map[string]string{"all": "a"})
	if !ok {
		return 1
	}
	m := p.Sys.Machine()
	var fields []string
	for _, f := range []struct{ letter, text string }{{"s", "Linux"}, {"n", m.Hostname}, {"r", m.Kernel}, {"v", m.Version}, {"m", m.Arch}, {"o", "GNU/Linux"}} {
		if o.has("a") || o.has(f.letter) || (f.letter == "s" && !o.has("nrvmpio")) {
			fields = append(fields, f.text)
		}
	}
	p.print(strings.Join(fields, " ") + "\n")
	return 0
}

func hostname(p *Proc) int {
	if len(p.Args) > 1 && p.Args[1][0] != '-' {
		p.errorf("sethostname: Operation not permitted")
		return 1
	}
	p.print(p.Sys.Machine().Hostname + "\n")
	return 0
}

func nproc(p *Proc) int { p.printf("%d\n", p.Sys.Machine().CPUs); return 0 }

func tty(p *Proc) int {
	if p.Sys.Terminal(p, 0) {
		p.print("/dev/pts/0\n")
		return 0
	}
	p.print("not a tty\n")
	return 1
}
