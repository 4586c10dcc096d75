package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A shell's memory is what its variables hold, and one expansion can make much of little: x=$x$x twice as much, ${x//a/$x} the
// square. The interpreter cannot be stopped in the middle of one. So what a word may come to is estimated before it is expanded:
// from its syntax comes a formula over the sizes of variables, see cost, and in front of the word goes a hook that computes it,
// see Machine.room.

// cost is a sum of products. A factor is a variable's name, one of the names below, or a number.
type cost [][]string

const (
	positional = "@" // all positional parameters
	everything = "!" // all variables: for names that are only known when it is too late
	// maxCaptured is what a command substitution may come to within a replacement, where each of its bytes counts many times.
	maxCaptured = 4096
)

func (c cost) String() string {
	var terms []string
	for _, t := range c {
		terms = append(terms, strings.Join(t, "*"))
	}
	return strings.Join(terms, "+")
}

// evaluate computes a written cost. Numbers are floating, so that no product overflows.
func evaluate(formula string, size func(name string) float64) float64 {
	sum := 0.0
	if formula == "" {
		return 0
	}
	for term := range strings.SplitSeq(formula, "+") {
		product := 1.0
		for factor := range strings.SplitSeq(term, "*") {
			if n, err := strconv.ParseFloat(factor, 64); err == nil {
				product *= n
			} else {
				product *= size(factor)
			}
		}
		sum += product
	}
	return sum
}

// multiplies tells whether there is a product.
func (c cost) multiplies() bool {
	for _, t := range c {
		if len(t) > 1 {
			return true
		}
	}
	return false
}

// estimate returns what expanding a word may take. Command substitutions are bounded by themselves, so they count only where
// they are multiplied.
func estimate(node syntax.Node) (c cost, assigns bool) {
	if node == nil {
		return nil, false
	}
	syntax.Walk(node, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			return false
		case *syntax.ParamExp:
			more, sets := estimateParam(n)
			c, assigns = append(c, more...), assigns || sets
			return false
		}
		return true
	})
	return c, assigns
}

func estimateParam(n *syntax.ParamExp) (c cost, assigns bool) {
	base := cost{{sizeName(paramName(n))}}
	switch {
	case n.Excl, n.Param == nil:
		base = cost{{everything}}
	case n.Length:
		base = nil
	}
	c = base
	add := func(node syntax.Node) {
		more, sets := estimate(node)
		c, assigns = append(c, more...), assigns || sets
	}
	if n.Index != nil {
		add(n.Index)
	}
	if n.Slice != nil {
		if n.Slice.Offset != nil {
			add(n.Slice.Offset)
		}
		if n.Slice.Length != nil {
			add(n.Slice.Length)
		}
	}
	if n.Exp != nil && n.Exp.Word != nil {
		add(n.Exp.Word)
		assigns = assigns || n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull
	}
	if n.Repl == nil {
		return c, assigns
	}
	if n.Repl.Orig != nil {
		add(n.Repl.Orig)
	}
	if n.Repl.With != nil {
		add(n.Repl.With)
		with, _ := estimate(n.Repl.With)
		c = append(c, times(base, append(with, constant(n.Repl.With)))...)
	}
	return c, assigns
}

// constant is what a replacement comes to beside its variables: its text, and its command substitutions.
func constant(with *syntax.Word) []string {
	n := 1
	syntax.Walk(with, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.Lit:
			n += len(node.Value)
		case *syntax.SglQuoted:
			n += len(node.Value)
		case *syntax.ArithmExp:
			n += 20
		case *syntax.CmdSubst:
			n += maxCaptured
			return false
		}
		return true
	})
	return []string{strconv.Itoa(n)}
}

func times(a, b cost) cost {
	var c cost
	for _, x := range a {
		for _, y := range b {
			c = append(c, append(append([]string(nil), x...), y...))
		}
	}
	return c
}

// sizeName is the factor that stands for a parameter.
func sizeName(name string) string {
	switch {
	case name == "@" || name == "*" || name != "" && strings.Trim(name, "0123456789") == "":
		return positional
	case syntax.ValidName(name):
		return name
	}
	return "20" // such as $? and $#
}
