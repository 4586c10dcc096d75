package config

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/voidbox-run/voidbox/core/plan"
)

// decoder reads the arguments of one block, each by the type that the block's table gives it, and collects what is wrong. A
// getter returns the zero value for an argument that is absent, null or wrong.
type decoder struct {
	l       *loader
	spec    *block
	content *hcl.BodyContent
	blocks  map[string]hcl.Blocks
	local   map[string]cty.Value
	diags   hcl.Diagnostics

	// exposed are the origins that sensitive values may have. Nil allows none; anyOrigin switches the check off.
	exposed   map[string]bool
	anyOrigin bool
	// strict makes an unknown value an error: the run is there, and everything must be known.
	strict bool
	// gaveUp says that something failed whose errors are reported elsewhere.
	gaveUp bool
}

// decode opens a block by its table. Arguments and blocks that the table does not know are errors.
func (l *loader) decode(b *hcl.Block, spec *block) *decoder {
	content, diags := b.Body.Content(spec.schema())
	return l.newDecoder(content, diags, spec)
}

func (l *loader) newDecoder(content *hcl.BodyContent, diags hcl.Diagnostics, spec *block) *decoder {
	d := &decoder{l: l, spec: spec, content: content, diags: diags, blocks: content.Blocks.ByType()}
	for _, nested := range spec.Blocks {
		found := d.blocks[nested.Type]
		if nested.MaxItems > 0 && len(found) > nested.MaxItems {
			d.fail(at(found[nested.MaxItems].DefRange, "Too many blocks", "There may be %d %q block here; the first is at %s.", nested.MaxItems, nested.Type, place(found[0].DefRange)))
		}
	}
	return d
}

func (d *decoder) fail(diag *hcl.Diagnostic) { d.diags = append(d.diags, diag) }

// ok tells whether everything so far could be read.
func (d *decoder) ok() bool { return !d.gaveUp && !d.diags.HasErrors() }

// rng is the place of an argument's value; it exists.
func (d *decoder) rng(name string) hcl.Range { return d.content.Attributes[name].Expr.Range() }

// has tells whether an argument is written down.
func (d *decoder) has(name string) bool { return d.content.Attributes[name] != nil }

// nested opens the only block of a type, if there is one.
func (d *decoder) nested(typ string) *decoder {
	blocks := d.blocks[typ]
	if len(blocks) == 0 {
		return nil
	}
	n := d.l.decode(blocks[0], d.spec.nested(typ))
	n.local, n.exposed, n.anyOrigin, n.strict = d.local, d.exposed, d.anyOrigin, d.strict
	return n
}

// absorb takes over what a nested decoder found.
func (d *decoder) absorb(n *decoder) {
	d.diags = append(d.diags, n.diags...)
	d.gaveUp = d.gaveUp || n.gaveUp
}

// value evaluates an argument and converts it. The result is without marks; ok is false when there is none.
func (d *decoder) value(name string, ty cty.Type) (cty.Value, bool) {
	attr := d.content.Attributes[name]
	if attr == nil {
		return cty.NilVal, false
	}
	v, diags := d.l.eval(attr.Expr, d.local)
	d.diags = append(d.diags, diags...)
	if v == cty.NilVal {
		d.gaveUp = true
		return cty.NilVal, false
	}
	return d.plain(name, attr.Expr, v, ty)
}

// plain converts a value and takes its marks off, if it may go where it is going.
func (d *decoder) plain(name string, expr hcl.Expression, v cty.Value, ty cty.Type) (cty.Value, bool) {
	if !d.mayGo(name, expr, v) {
		return cty.NilVal, false
	}
	converted, err := convert.Convert(v, ty)
	if err != nil {
		d.fail(wrongType(expr.Range(), fmt.Sprintf("%q", name), ty, err))
		return cty.NilVal, false
	}
	if !d.strict {
		sensitiveLeaves(converted, d.l.addSecret)
	}
	v, _ = converted.UnmarkDeep()
	if v.IsNull() {
		if a := d.spec.argument(name); a != nil && a.Required {
			d.fail(at(expr.Range(), "Missing value", "%q must not be null.", name))
		}
		return cty.NilVal, false
	}
	if d.strict && !v.IsWhollyKnown() {
		d.fail(at(expr.Range(), "Value not known", "%q depends on a value that is not known: a secret that was not given, or a stage that has no result.", name))
		return cty.NilVal, false
	}
	return v, true
}

const sensitiveSummary = "Sensitive value would enter the sandbox"

// mayGo refuses sensitive values whose origin the sandbox does not expose.
func (d *decoder) mayGo(name string, expr hcl.Expression, v cty.Value) bool {
	if d.anyOrigin {
		return true
	}
	addrs := notExposed(v, d.exposed)
	if len(addrs) == 0 {
		return true
	}
	if d.exposed == nil {
		d.fail(at(expr.Range(), "Sensitive value would be shown", "%q is made of %s, and what stands here is not kept secret.", name, strings.Join(addrs, ", ")))
		return false
	}
	diag := at(expr.Range(), sensitiveSummary,
		"%q is made of %s. Whatever stands here can be read inside the sandbox, where credentials do not belong. Give it to the block of a plugin (llm, skill, network) instead, or, if programs in the guest must hold it, name it in the sandbox: expose = [%s].",
		name, strings.Join(addrs, ", "), strings.Join(addrs, ", "))
	diag.Expression = expr
	d.fail(diag)
	return false
}

// typeName names a type within "must be ...".
func typeName(ty cty.Type) string {
	if ty.IsCapsuleType() || ty.IsCollectionType() && ty.ElementType().IsCapsuleType() {
		return "a reference, such as " + capsuleExample(ty)
	}
	return "a " + ty.FriendlyNameForConstraint()
}

// wrongType says that what (an argument or variable) cannot be converted to a type.
func wrongType(r hcl.Range, what string, ty cty.Type, err error) *hcl.Diagnostic {
	why := conversionError(err)
	if strings.HasSuffix(why, " required") {
		return at(r, "Wrong type", "%s must be %s.", what, typeName(ty)) // why says no more than that
	}
	return at(r, "Wrong type", "%s must be %s: %s.", what, typeName(ty), why)
}

func capsuleExample(ty cty.Type) string {
	switch {
	case ty.IsCollectionType():
		return "[" + capsuleExample(ty.ElementType()) + "]"
	case ty == llmType:
		return "llm.claude.main"
	case ty == skillType:
		return "skill.file.name"
	}
	return ty.FriendlyName() + ".name"
}

func conversionError(err error) string {
	if path, ok := err.(cty.PathError); ok && len(path.Path) > 0 {
		return fmt.Sprintf("%s, at %s", path.Error(), pathText(path.Path))
	}
	return err.Error()
}

// pathText renders a path within a value.
func pathText(path cty.Path) string {
	var b strings.Builder
	for _, step := range path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			fmt.Fprintf(&b, ".%s", s.Name)
		case cty.IndexStep:
			if s.Key.Type() == cty.Number {
				fmt.Fprintf(&b, "[%s]", s.Key.AsBigFloat().Text('f', 0))
			} else if s.Key.Type() == cty.String {
				fmt.Fprintf(&b, "[%q]", s.Key.AsString())
			}
		}
	}
	return b.String()
}

// str reads a string. What is not known yet, because a secret was not given, reads as redacted.
func (d *decoder) str(name string) string {
	v, ok := d.value(name, cty.String)
	if !ok {
		return ""
	}
	return text(v)
}

func text(v cty.Value) string {
	if !v.IsKnown() || v.IsNull() {
		return plan.Redacted
	}
	return v.AsString()
}

// choice reads a string that must be one of the table's values.
func (d *decoder) choice(name string) string {
	v, ok := d.value(name, cty.String)
	if !ok || !v.IsKnown() {
		return ""
	}
	values := d.spec.argument(name).Values
	for _, allowed := range values {
		if v.AsString() == allowed {
			return allowed
		}
	}
	d.fail(at(d.rng(name), "Invalid value", "%q cannot be %q.%s", name, v.AsString(), didYouMean(v.AsString(), append([]string(nil), values...))))
	return ""
}

// flag reads a bool.
func (d *decoder) flag(name string) bool {
	v, ok := d.value(name, cty.Bool)
	return ok && v.IsKnown() && v.True()
}

// strs reads a list of strings. Nil means absent; an empty list is not nil.
func (d *decoder) strs(name string) []string {
	v, ok := d.value(name, cty.List(cty.String))
	if !ok || !v.IsKnown() {
		return nil
	}
	out := []string{}
	for _, e := range v.AsValueSlice() {
		if e.IsKnown() && e.IsNull() {
			d.fail(at(d.rng(name), "Missing value", "%q must not hold null.", name))
			return nil
		}
		out = append(out, text(e))
	}
	return out
}

// strMap reads a map of strings. Entries that are null are left out.
func (d *decoder) strMap(name string) map[string]string {
	v, ok := d.value(name, cty.Map(cty.String))
	if !ok || !v.IsKnown() {
		return nil
	}
	out := map[string]string{}
	for key, e := range v.AsValueMap() {
		if !e.IsKnown() || !e.IsNull() {
			out[key] = text(e)
		}
	}
	return out
}

// integer reads a whole number between low and high. def stands for an absent one.
func (d *decoder) integer(name string, low, high, def int64) int64 {
	v, ok := d.value(name, cty.Number)
	if !ok || !v.IsKnown() {
		return def
	}
	f := v.AsBigFloat()
	if !f.IsInt() {
		d.fail(at(d.rng(name), "Invalid value", "%q must be a whole number, not %s.", name, f.Text('g', 10)))
		return def
	}
	if f.Cmp(big.NewFloat(float64(low))) < 0 || f.Cmp(big.NewFloat(float64(high))) > 0 {
		d.fail(at(d.rng(name), "Invalid value", "%q must be between %d and %d, not %s.", name, low, high, f.Text('g', 10)))
		return def
	}
	n, _ := f.Int64()
	return n
}

// size reads a number of bytes between low and high. def stands for an absent one.
func (d *decoder) size(name string, low, high, def uint64) uint64 {
	v, ok := d.value(name, cty.DynamicPseudoType)
	if !ok || !v.IsKnown() {
		return def
	}
	n, err := sizeValue(v)
	if err != nil {
		d.fail(at(d.rng(name), "Invalid size", "%q: %v.", name, err))
		return def
	}
	if n < low || n > high {
		hint := ""
		if n > 0 && n < 1<<20 && v.Type() == cty.Number {
			hint = fmt.Sprintf(" A bare number is bytes; did you mean \"%dMiB\"?", n)
		}
		d.fail(at(d.rng(name), "Invalid size", "%q must be between %s and %s, not %s.%s", name, formatSize(low), formatSize(high), formatSize(n), hint))
		return def
	}
	return n
}

// duration reads a positive duration. def stands for an absent one.
func (d *decoder) duration(name string, def time.Duration) time.Duration {
	v, ok := d.value(name, cty.String)
	if !ok || !v.IsKnown() {
		return def
	}
	t, err := parseDuration(v.AsString())
	if err != nil {
		d.fail(at(d.rng(name), "Invalid duration", "%q: %v.", name, err))
		return def
	}
	return t
}

// existing reads a path and demands that there is something. It returns the absolute path, or "".
func (d *decoder) existing(name string) string {
	v, ok := d.value(name, cty.String)
	if !ok || !v.IsKnown() {
		return ""
	}
	path := d.l.path(v.AsString())
	if diag := checkExists(path, v.AsString(), d.rng(name)); diag != nil {
		d.fail(diag)
		return ""
	}
	return path
}
