package config

import (
	"encoding/json"
	"math"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Bounds on values. Expressions multiply: ten locals that each repeat the one before ten times make ten billion bytes. So the
// cost of an expression is estimated before it is evaluated, and its value is measured afterwards.
const (
	maxValueBytes   = 4 << 20
	maxCost         = 64 << 20
	maxLoadBytes    = 1 << 30 // of all values together
	maxForNesting   = 6
	maxNumberBits   = 4096 // of a number's exponent
	operatorCost    = 400  // digits that an operator can add to a number
	defaultNodeCost = 64
)

// boundValue reports a value that is too large to work with.
func boundValue(v cty.Value, r hcl.Range) *hcl.Diagnostic {
	if v == cty.NilVal {
		return nil
	}
	size, numbers := measure(v)
	if !numbers {
		return at(r, "Number out of range", "The value holds a number that is too large to print.")
	}
	if size > maxValueBytes {
		return at(r, "Value too large", "A value may take %s.", formatSize(maxValueBytes))
	}
	return nil
}

// spend reports a value that is too large, or one value too many: all that loading makes is bounded too.
func (l *loader) spend(v cty.Value, r hcl.Range) *hcl.Diagnostic {
	if diag := boundValue(v, r); diag != nil || !l.loading {
		return diag
	}
	size, _ := measure(v)
	if l.spent += size; l.spent > maxLoadBytes {
		return at(r, "Configuration too large", "All values together may take %s.", formatSize(maxLoadBytes))
	}
	return nil
}

// measure returns the rough size of a value in bytes, and whether its numbers can be printed.
func measure(v cty.Value) (size int, printable bool) {
	printable = true
	plain, _ := v.UnmarkDeep()
	_ = cty.Walk(plain, func(path cty.Path, e cty.Value) (bool, error) {
		size += 8
		if len(path) > 0 {
			size += keySize(path[len(path)-1])
		}
		if !e.IsKnown() || e.IsNull() {
			return true, nil
		}
		switch e.Type() {
		case cty.String:
			size += len(e.AsString())
		case cty.Number:
			f := e.AsBigFloat()
			if f.IsInf() {
				return true, nil
			}
			exp := f.MantExp(nil)
			printable = printable && exp < maxNumberBits && exp > -maxNumberBits
		}
		return true, nil
	})
	return size, printable
}

func keySize(step cty.PathStep) int {
	switch s := step.(type) {
	case cty.GetAttrStep:
		return len(s.Name)
	case cty.IndexStep:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return len(s.Key.AsString())
		}
	}
	return 0
}

// boundCost reports an expression whose evaluation could be too expensive.
func (l *loader) boundCost(expr hcl.Expression, ctx *hcl.EvalContext, sizes map[string]extent) *hcl.Diagnostic {
	e := &estimator{ctx: ctx, files: l.files.parsed, sizes: sizes}
	if cost := e.expression(expr); !(cost.bytes <= maxCost) {
		return at(expr.Range(), "Expression too expensive", "Evaluating this could take more than %s of memory. Make the values that it repeats smaller, or nest fewer loops.", formatSize(maxCost))
	}
	return nil
}

// extent is an upper bound of what a value takes.
type extent struct {
	bytes float64
	items float64 // elements of a collection
}

func (a extent) plus(b extent) extent { return extent{a.bytes + b.bytes, a.items + b.items} }

// estimator bounds what evaluating an expression produces, intermediate values included, from the sizes of what it refers to.
type estimator struct {
	ctx   *hcl.EvalContext
	files map[string]*hcl.File
	sizes map[string]extent // of references, by root and names
	vars  []binding         // of enclosing loops, innermost last
	anon  []extent          // of enclosing splats
}

type binding struct {
	name string
	size extent
}

// expression estimates an expression of either syntax.
func (e *estimator) expression(expr hcl.Expression) extent {
	if native, ok := expr.(hclsyntax.Expression); ok {
		return e.node(native)
	}
	sum := extent{bytes: defaultNodeCost}
	if list, diags := hcl.ExprList(expr); !diags.HasErrors() {
		for _, item := range list {
			sum = sum.plus(e.expression(item))
			sum.items++
		}
		return sum
	}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		for _, p := range pairs {
			sum = sum.plus(e.expression(p.Key)).plus(e.expression(p.Value))
			sum.items++
		}
		return sum
	}
	return sum.plus(e.jsonLeaf(expr))
}

// jsonLeaf estimates a string of JSON syntax, which is a template.
func (e *estimator) jsonLeaf(expr hcl.Expression) extent {
	r := expr.Range()
	file := e.files[r.Filename]
	var text string
	if file == nil || !r.CanSliceBytes(file.Bytes) || json.Unmarshal(r.SliceBytes(file.Bytes), &text) != nil {
		return extent{bytes: defaultNodeCost}
	}
	native, diags := hclsyntax.ParseTemplate([]byte(text), r.Filename, r.Start)
	if diags.HasErrors() {
		return extent{bytes: float64(len(text))}
	}
	return e.node(native)
}

func (e *estimator) node(n hclsyntax.Expression) extent {
	switch n := n.(type) {
	case *hclsyntax.LiteralValueExpr:
		return sizeOf(n.Val)
	case *hclsyntax.ScopeTraversalExpr:
		return e.reference(n.Traversal)
	case *hclsyntax.TemplateExpr:
		return e.sum(n.Parts...)
	case *hclsyntax.TemplateWrapExpr:
		return e.node(n.Wrapped)
	case *hclsyntax.TemplateJoinExpr:
		return e.node(n.Tuple)
	case *hclsyntax.ParenthesesExpr:
		return e.node(n.Expression)
	case *hclsyntax.ConditionalExpr:
		return e.sum(n.Condition, n.TrueResult, n.FalseResult)
	case *hclsyntax.BinaryOpExpr:
		return e.sum(n.LHS, n.RHS).plus(extent{bytes: operatorCost})
	case *hclsyntax.UnaryOpExpr:
		return e.node(n.Val).plus(extent{bytes: operatorCost})
	case *hclsyntax.FunctionCallExpr:
		return e.call(n)
	case *hclsyntax.TupleConsExpr:
		sum := e.sum(n.Exprs...)
		return extent{sum.bytes + 8, float64(len(n.Exprs))}
	case *hclsyntax.ObjectConsExpr:
		sum := extent{}
		for _, item := range n.Items {
			sum = sum.plus(e.sum(item.KeyExpr, item.ValueExpr))
		}
		return extent{sum.bytes + 8, float64(len(n.Items))}
	case *hclsyntax.ObjectConsKeyExpr:
		return e.node(n.Wrapped).plus(extent{bytes: defaultNodeCost})
	case *hclsyntax.IndexExpr:
		return e.sum(n.Collection, n.Key)
	case *hclsyntax.RelativeTraversalExpr:
		return e.node(n.Source)
	case *hclsyntax.ForExpr:
		return e.loop(n)
	case *hclsyntax.SplatExpr:
		return e.splat(n)
	case *hclsyntax.AnonSymbolExpr:
		if len(e.anon) > 0 {
			return e.anon[len(e.anon)-1]
		}
	}
	return extent{bytes: defaultNodeCost}
}

func (e *estimator) sum(nodes ...hclsyntax.Expression) extent {
	sum := extent{bytes: 8}
	for _, n := range nodes {
		sum = sum.plus(e.node(n))
	}
	return sum
}

// reference bounds a reference by the size of the node, or of the value with that root name, that it leads into.
func (e *estimator) reference(t hcl.Traversal) extent {
	root := t.RootName()
	for i := len(e.vars) - 1; i >= 0; i-- {
		if e.vars[i].name == root {
			return e.vars[i].size
		}
	}
	addr := address(t, roots[root])
	if size, ok := e.sizes[addr]; ok {
		return size
	}
	size := extent{bytes: defaultNodeCost}
	if v, diags := t[:min(len(t), 1+roots[root])].TraverseAbs(e.ctx); !diags.HasErrors() {
		size = sizeOf(v)
	}
	e.sizes[addr] = size
	return size
}

func sizeOf(v cty.Value) extent {
	if v == cty.NilVal {
		return extent{bytes: defaultNodeCost}
	}
	bytes, _ := measure(v)
	size := extent{bytes: float64(bytes)}
	plain, _ := v.Unmark()
	if plain.IsKnown() && !plain.IsNull() && plain.CanIterateElements() {
		size.items = float64(plain.LengthInt())
	}
	// A part of the value may have more elements than the value.
	size.items = math.Max(size.items, largestPart(plain))
	return size
}

// largestPart is the length of the longest collection within v.
func largestPart(v cty.Value) float64 {
	most := 0
	v, _ = v.UnmarkDeep()
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if e.IsKnown() && !e.IsNull() && e.CanIterateElements() {
			most = max(most, e.LengthInt())
		}
		return true, nil
	})
	return float64(most)
}

// growth is how many times its arguments a function's result may take, for those whose result may take more than once. Sizes
// count eight bytes for each element, so taking a string apart makes it larger.
var growth = map[string]float64{
	"base64encode": 2, "csvdecode": 16, "format": 32, "jsondecode": 8, "jsonencode": 7, "regexall": 8, "split": 8, "strrev": 2,
}

// call bounds the result of a function.
func (e *estimator) call(n *hclsyntax.FunctionCallExpr) extent {
	args := make([]extent, len(n.Args))
	sum := extent{bytes: defaultNodeCost}
	for i, arg := range n.Args {
		args[i] = e.node(arg)
		sum = sum.plus(args[i])
	}
	out := e.result(n.Name, args, sum)
	// What is larger than a value may be fails when the call returns; until then it takes no more than that.
	return extent{bytes: sum.bytes + math.Min(out.bytes, 2*maxValueBytes), items: out.items}
}

func (e *estimator) result(name string, args []extent, sum extent) extent {
	arg := func(i int) extent {
		if i < len(args) {
			return args[i]
		}
		return extent{}
	}
	switch name {
	case "file", "templatefile":
		return extent{bytes: maxFileBytes}
	case "range":
		return extent{bytes: 8 * 1024, items: 1024}
	case "join", "formatlist":
		return extent{bytes: sum.bytes + arg(0).bytes*sum.items, items: sum.items}
	case "replace", "regexreplace":
		return extent{bytes: sum.bytes + arg(0).bytes*arg(2).bytes}
	case "indent":
		return extent{bytes: sum.bytes * 8}
	case "setproduct":
		items := 1.0
		for _, a := range args {
			items *= math.Max(a.items, 1)
		}
		return extent{bytes: items * (8 + sum.bytes/math.Max(sum.items, 1)*float64(len(args))), items: items}
	}
	if g, ok := growth[name]; ok {
		return extent{bytes: g * sum.bytes, items: sum.bytes}
	}
	return sum
}

// loop bounds a for expression. Its body costs something for each element, however small, and something that grows with the
// element; over all elements, the latter is at most what one element as large as all of them would cost.
func (e *estimator) loop(n *hclsyntax.ForExpr) extent {
	coll := e.node(n.CollExpr)
	if len(e.vars) >= 2*maxForNesting {
		return extent{bytes: math.Inf(1)}
	}
	body := func(item extent) float64 {
		e.vars = append(e.vars, binding{n.KeyVar, extent{bytes: defaultNodeCost}}, binding{n.ValVar, item})
		defer func() { e.vars = e.vars[:len(e.vars)-2] }()
		sum := e.node(n.ValExpr)
		if n.KeyExpr != nil {
			sum = sum.plus(e.node(n.KeyExpr))
		}
		if n.CondExpr != nil {
			sum = sum.plus(e.node(n.CondExpr))
		}
		return sum.bytes + 8
	}
	return extent{bytes: coll.bytes + coll.items*body(extent{}) + body(coll), items: coll.items}
}

func (e *estimator) splat(n *hclsyntax.SplatExpr) extent {
	source := e.node(n.Source)
	if len(e.anon) >= maxForNesting {
		return extent{bytes: math.Inf(1)}
	}
	body := func(item extent) float64 {
		e.anon = append(e.anon, item)
		defer func() { e.anon = e.anon[:len(e.anon)-1] }()
		return e.node(n.Each).bytes + 8
	}
	items := math.Max(source.items, 1)
	return extent{bytes: source.bytes + items*body(extent{}) + body(source), items: items}
}
