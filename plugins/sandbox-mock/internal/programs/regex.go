package programs

import (
	"regexp"
	"strings"
)

// compile turns a POSIX expression, basic or extended, into one of Go.
func compile(expr string, extended, fold bool) (*regexp.Regexp, error) {
	if !extended {
		expr = fromBasic(expr)
	}
	if fold {
		expr = "(?i)" + expr
	}
	return regexp.Compile(expr)
}

// fromBasic swaps the meaning of a backslash before ( ) { } + ? |, and leaves bracket expressions as they are.
func fromBasic(expr string) string {
	var b strings.Builder
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case c == '\\' && i+1 < len(expr):
			i++
			if strings.IndexByte("(){}+?|", expr[i]) >= 0 {
				b.WriteByte(expr[i])
			} else if expr[i] == '<' || expr[i] == '>' {
				b.WriteString(`\b`)
			} else {
				b.WriteByte('\\')
				b.WriteByte(expr[i])
			}
		case strings.IndexByte("(){}+?|", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '*' && i == 0:
			b.WriteString(`\*`)
		case c == '[':
			end := bracketEnd(expr, i)
			b.WriteString(strings.ReplaceAll(expr[i:end], `\`, `\\`))
			i = end - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bracketEnd returns the index after the bracket expression that starts at i.
func bracketEnd(expr string, i int) int {
	j := i + 1
	if j < len(expr) && expr[j] == '^' {
		j++
	}
	if j < len(expr) && expr[j] == ']' {
		j++
	}
	for j < len(expr) && expr[j] != ']' {
		if expr[j] == '[' && j+1 < len(expr) && expr[j+1] == ':' {
			if k := strings.Index(expr[j:], ":]"); k > 0 {
				j += k + 1
			}
		}
		j++
	}
	return min(j+1, len(expr))
}
