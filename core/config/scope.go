package config

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// node is something that expressions refer to by address. It is evaluated once, when it is first asked for.
type node struct {
	addr  string // such as llm.claude.main
	decl  hcl.Range
	eval  func() (cty.Value, hcl.Diagnostics)
	state nodeState
	value cty.Value
	size  extent // of value, once resolved
}

type nodeState int

const (
	declared nodeState = iota
	visiting
	resolved
	failed // and its errors are reported
)

// roots are the names that a reference to a node can start with, and how many names follow.
var roots = map[string]int{"var": 1, "local": 1, "secret": 1, "profile": 1, "sandbox": 1, "llm": 2, "skill": 2, "agent": 1}

// labelsOf are the names that follow those roots that need two.
var labelsOf = map[string]string{"llm": "a plugin and a name, such as llm.claude.main", "skill": "a kind and a name, such as skill.file.style"}

// rangeOfUse are names that exist only in certain places.
var rangeOfUse = map[string]string{
	"input": "It stands for what a stage gives an agent, and exists only in agent blocks.",
	"stage": "It stands for the results of stages, and exists only in the `input` and `depends_on` of a stage and in outputs.",
	"each":  "It stands for the key of a stage's `for_each`, and exists only in stages that have one.",
	"env":   "Values of the environment enter through secrets: secret \"name\" { env = \"NAME\" }, then secret.name.",
}

// declare adds a node; a second one of the same address is an error.
func (l *loader) declare(addr string, decl hcl.Range, eval func() (cty.Value, hcl.Diagnostics)) {
	if first, ok := l.nodes[addr]; ok {
		l.fail(at(decl, "Duplicate name", "%s is declared already, at %s. Give one of them another name.", addr, place(first.decl)))
		return
	}
	n := &node{addr: addr, decl: decl, eval: eval}
	l.nodes[addr] = n
	l.order = append(l.order, n)
}

// resolve evaluates a node unless that has happened, and reports what is wrong with it. A node that is being evaluated is left
// alone: the caller that runs into it reports the cycle.
func (l *loader) resolve(n *node) {
	if n.state != declared {
		return
	}
	n.state = visiting
	l.stack = append(l.stack, n)
	value, diags := n.eval()
	l.stack = l.stack[:len(l.stack)-1]
	l.report(diags)
	n.value, n.state = value, resolved
	if diags.HasErrors() || value == cty.NilVal {
		n.state = failed
		return
	}
	n.size = sizeOf(value)
}

// eval evaluates an expression. Names of local come before those of nodes. The result is NilVal, without a diagnostic, when
// the expression refers to something whose errors have been reported: callers then give up silently.
func (l *loader) eval(expr hcl.Expression, local map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	if l.loading && l.spent > maxLoadBytes {
		return cty.NilVal, nil // and that is reported
	}
	ctx, sizes, diags := l.scope(expr, local)
	if sizes == nil || diags.HasErrors() {
		return cty.NilVal, diags
	}
	if diag := l.boundCost(expr, ctx, sizes); diag != nil {
		return cty.NilVal, hcl.Diagnostics{diag}
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return cty.NilVal, improve(diags)
	}
	if diag := l.spend(v, expr.Range()); diag != nil {
		return cty.NilVal, hcl.Diagnostics{diag}
	}
	return v, diags
}

// scope builds the context of an expression from what it refers to, and nothing else, with the sizes of the nodes among that by
// address. sizes is nil when one of those has failed.
func (l *loader) scope(expr hcl.Expression, local map[string]cty.Value) (_ *hcl.EvalContext, sizes map[string]extent, diags hcl.Diagnostics) {
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: l.functions}
	tree := map[string]map[string]cty.Value{} // by root, then by the rest of the address
	sizes = map[string]extent{}
	ok := true
	for _, t := range expr.Variables() {
		name := t.RootName()
		if v, found := local[name]; found {
			ctx.Variables[name] = v
			continue
		}
		n, diag := l.lookup(t)
		if diag != nil {
			diags = append(diags, diag)
			continue
		}
		l.resolve(n)
		switch n.state {
		case visiting:
			diags = append(diags, l.cycle(n, t.SourceRange()))
		case failed:
			ok = false
		default:
			if tree[name] == nil {
				tree[name] = map[string]cty.Value{}
			}
			tree[name][strings.TrimPrefix(n.addr, name+".")] = n.value
			sizes[n.addr] = n.size
		}
	}
	for name, values := range tree {
		ctx.Variables[name] = nest(values)
	}
	if !ok {
		sizes = nil
	}
	return ctx, sizes, diags
}

// nest turns values by address, of one or two names, into objects.
func nest(values map[string]cty.Value) cty.Value {
	flat := map[string]cty.Value{}
	deep := map[string]map[string]cty.Value{}
	for addr, v := range values {
		first, second, two := strings.Cut(addr, ".")
		if !two {
			flat[first] = v
			continue
		}
		if deep[first] == nil {
			deep[first] = map[string]cty.Value{}
		}
		deep[first][second] = v
	}
	for name, attrs := range deep {
		flat[name] = cty.ObjectVal(attrs)
	}
	return cty.ObjectVal(flat)
}

// lookup finds the node that a traversal refers to.
func (l *loader) lookup(t hcl.Traversal) (*node, *hcl.Diagnostic) {
	root := t.RootName()
	want, known := roots[root]
	if !known {
		if why, ok := rangeOfUse[root]; ok {
			return nil, at(t.SourceRange(), "Reference out of place", "%q cannot be used here. %s", root, why)
		}
		names := []string{}
		for name := range roots {
			names = append(names, name)
		}
		return nil, at(t.SourceRange(), "Unknown reference", "Nothing is called %q.%s", root, didYouMean(root, names))
	}
	if n := l.nodes[address(t, want)]; n != nil {
		return n, nil
	}
	addr := root
	for i := 1; i <= want; i++ {
		name := ""
		if i < len(t) {
			name = stepName(t[i])
		}
		if name == "" {
			return nil, at(t.SourceRange(), "Incomplete reference", "%q must be followed by %s.", root, orDefault(labelsOf[root], "a dot and a name"))
		}
		addr += "." + name
		if names := l.namesBelow(root, i, addr); names != nil {
			parent := addr[:strings.LastIndexByte(addr, '.')]
			return nil, at(t.SourceRange(), "Unknown reference", "There is no %s.%s", addr, didYouMeanBelow(parent, name, names))
		}
	}
	return l.nodes[addr], nil
}

// address is the root and the n names of a traversal, as far as there are any.
func address(t hcl.Traversal, n int) string {
	addr := t.RootName()
	for i := 1; i <= n && i < len(t); i++ {
		addr += "." + stepName(t[i])
	}
	return addr
}

// namesBelow returns nil when some node's address starts with addr, a root and i names; else the names that could stand last.
func (l *loader) namesBelow(root string, i int, addr string) []string {
	parent := addr[:strings.LastIndexByte(addr, '.')+1]
	set := map[string]bool{}
	if len(l.diags) > maxDiagnostics {
		return []string{} // nobody reads that many suggestions
	}
	for a := range l.nodes {
		if a == addr || strings.HasPrefix(a, addr+".") {
			return nil
		}
		if rest, ok := strings.CutPrefix(a, parent); ok {
			name, _, _ := strings.Cut(rest, ".")
			set[name] = true
		}
	}
	names := []string{}
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// didYouMeanBelow offers the full address of the nearest name.
func didYouMeanBelow(parent, name string, names []string) string {
	for i, n := range names {
		names[i] = parent + "." + n
	}
	if len(names) == 0 {
		return " Nothing is declared as " + parent + "."
	}
	return didYouMean(parent+"."+name, names)
}

// cycle describes how n, which is being evaluated, was asked for again.
func (l *loader) cycle(n *node, r hcl.Range) *hcl.Diagnostic {
	var addrs []string
	for i, on := range l.stack {
		if on == n {
			for _, member := range l.stack[i:] {
				addrs = append(addrs, member.addr)
			}
			break
		}
	}
	if len(addrs) == 1 {
		return at(r, "Reference cycle", "%s refers to itself.", n.addr)
	}
	return at(r, "Reference cycle", "%s refers back to itself: %s -> %s.", n.addr, strings.Join(addrs, " -> "), n.addr)
}
