package programs

import (
	"strconv"
	"strings"
)

// expr knows what scripts use: arithmetic and comparison of two operands, length and the match operator.
func expr(p *Proc) int {
	a := p.Args[1:]
	truth := func(v string) int {
		p.print(v + "\n")
		if v == "" || v == "0" {
			return 1
		}
		return 0
	}
	switch {
	case len(a) == 1:
		return truth(a[0])
	case len(a) == 2 && a[0] == "length":
		return truth(strconv.Itoa(len([]rune(a[1]))))
	case len(a) == 3 && a[1] == ":":
		re, err := compile("^"+a[2], false, false)
		if err != nil {
			p.errorf("%v", err)
			return 2
		}
		m := re.FindStringSubmatch(a[0])
		switch {
		case len(m) > 1:
			return truth(m[1])
		case m != nil:
			return truth(strconv.Itoa(len([]rune(m[0]))))
		case re.NumSubexp() > 0:
			return truth("")
		}
		return truth("0")
	case len(a) == 3:
		return exprBinary(p, a[0], a[1], a[2], truth)
	}
	p.errorf("syntax error (the mock knows two operands)")
	return 2
}

func exprBinary(p *Proc, left, op, right string, truth func(string) int) int {
	x, errX := strconv.ParseInt(left, 10, 64)
	y, errY := strconv.ParseInt(right, 10, 64)
	order := strings.Compare(left, right)
	if errX == nil && errY == nil {
		order = int(min(max(x-y, -1), 1))
	}
	if yes, ok := map[string]bool{"=": order == 0, "==": order == 0, "!=": order != 0, "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}[op]; ok {
		return truth(map[bool]string{true: "1", false: "0"}[yes])
	}
	if errX != nil || errY != nil {
		p.errorf("non-integer argument")
		return 2
	}
	if y == 0 && (op == "/" || op == "%") {
		p.errorf("division by zero")
		return 2
	}
	switch op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	case "/":
		x /= y
	case "%":
		x %= y
	default:
		p.errorf("syntax error near '%s'", op)
		return 2
	}
	return truth(strconv.FormatInt(x, 10))
}

// testProgram is for those who run test from outside a shell: the shell has its own.
func testProgram(p *Proc) int {
	script := `test "$@"`
	if p.Args[0] == "[" {
		script = `[ "$@"`
	}
	return p.Sys.Run(p, append([]string{"sh", "-c", script, p.Args[0]}, p.Args[1:]...), p.Env)
}
