package config

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

const maxSecretBytes = 64 << 10

// given is a value for a variable, from the command line or a file.
type given struct {
	literal *string        // as typed on the command line
	expr    hcl.Expression // from a file
}

// variable is a declared variable.
type variable struct {
	name      string
	ty        cty.Type
	defaults  *typeexpr.Defaults
	fallback  cty.Value // NilVal: a value must be given
	sensitive bool
	decl      hcl.Range
}

// declareVariables makes a node of each variable.
func (l *loader) declareVariables(blocks hcl.Blocks) {
	values := l.givenValues()
	var names []string
	for _, b := range blocks {
		if !l.checkLabels(b) {
			continue
		}
		name := b.Labels[0]
		names = append(names, name)
		value, isGiven := values[name]
		delete(values, name)
		l.declare("var."+name, b.DefRange, func() (cty.Value, hcl.Diagnostics) {
			v, diags := l.readVariable(b)
			if diags.HasErrors() {
				return cty.NilVal, diags
			}
			return l.variableValue(v, value, isGiven)
		})
	}
	for _, name := range sortedKeys(values) {
		diag := nowhere("Unknown variable", "A value is given for the variable %q, which is not declared.%s", name, didYouMean(name, names))
		if expr := values[name].expr; expr != nil {
			diag.Subject = expr.Range().Ptr()
		}
		l.fail(diag)
	}
}

// givenValues collects what Options says about variables.
func (l *loader) givenValues() map[string]given {
	values := map[string]given{}
	for _, name := range l.opt.VarFiles {
		file, diags := l.files.parse(name)
		l.report(diags)
		if file == nil {
			continue
		}
		attrs, diags := file.Body.JustAttributes()
		l.report(diags)
		for name, attr := range attrs {
			values[name] = given{expr: attr.Expr}
		}
	}
	for name, text := range l.opt.Vars {
		values[name] = given{literal: &text}
	}
	return values
}

// readVariable reads a declaration.
func (l *loader) readVariable(b *hcl.Block) (*variable, hcl.Diagnostics) {
	d := l.decode(b, variableBlock)
	v := &variable{name: b.Labels[0], ty: cty.DynamicPseudoType, sensitive: d.flag("sensitive"), decl: b.DefRange}
	d.str("description")
	if attr := d.content.Attributes["type"]; attr != nil {
		ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(attr.Expr)
		d.diags = append(d.diags, diags...)
		v.ty, v.defaults = ty, defaults
	}
	attr := d.content.Attributes["default"]
	if attr == nil || !d.ok() {
		return v, d.diags
	}
	fallback, diags := attr.Expr.Value(&hcl.EvalContext{})
	d.diags = append(d.diags, diags...)
	if diags.HasErrors() {
		return v, d.diags
	}
	if !d.has("type") && !fallback.IsNull() {
		v.ty = inferredType(fallback.Type())
	}
	converted, err := v.convert(fallback)
	if err != nil {
		d.fail(wrongType(attr.Expr.Range(), "The default of var."+v.name, v.ty, err))
	}
	v.fallback = converted
	return v, d.diags
}

// inferredType is the type of a variable that declares none: that of its default, where a list in brackets may have any length
// and braces any keys.
func inferredType(ty cty.Type) cty.Type {
	if ty.IsPrimitiveType() {
		return ty
	}
	return cty.DynamicPseudoType
}

func (v *variable) convert(value cty.Value) (cty.Value, error) {
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	return convert.Convert(value, v.ty)
}

// variableValue returns what a variable stands for.
func (l *loader) variableValue(v *variable, value given, isGiven bool) (cty.Value, hcl.Diagnostics) {
	if !isGiven {
		if v.fallback == cty.NilVal {
			return cty.NilVal, hcl.Diagnostics{at(v.decl, "Variable without a value", "var.%s has no default. Give it a value: --var %s=VALUE.", v.name, v.name)}
		}
		return l.guard(v, v.fallback), nil
	}
	raw, place, diags := l.rawValue(v, value)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	if diag := boundValue(raw, place); diag != nil {
		return cty.NilVal, hcl.Diagnostics{diag}
	}
	converted, err := v.convert(raw)
	if err != nil {
		return cty.NilVal, hcl.Diagnostics{wrongType(place, "The value given for var."+v.name, v.ty, err)}
	}
	return l.guard(v, converted), nil
}

// rawValue reads a given value, and says where it stands.
func (l *loader) rawValue(v *variable, value given) (cty.Value, hcl.Range, hcl.Diagnostics) {
	if value.expr != nil {
		raw, diags := value.expr.Value(&hcl.EvalContext{})
		return raw, value.expr.Range(), diags
	}
	literal := *value.literal
	switch {
	case v.ty != cty.String && hugeNumber(literal):
		return cty.NilVal, v.decl, hcl.Diagnostics{at(v.decl, "Number out of range", "The exponent of the value given for var.%s may be at most %d.", v.name, maxExponent)}
	case v.ty.IsPrimitiveType(), v.ty == cty.DynamicPseudoType && !looksStructured(literal):
		return cty.StringVal(literal), v.decl, nil // converted to the variable's type
	}
	raw, diags := l.parseLiteral(literal, v.name)
	return raw, v.decl, diags
}

// looksStructured tells a list or object on the command line from a bare string.
func looksStructured(literal string) bool {
	return strings.HasPrefix(literal, "[") || strings.HasPrefix(literal, "{")
}

// parseLiteral evaluates an expression from the command line. It may refer to nothing.
func (l *loader) parseLiteral(literal, name string) (cty.Value, hcl.Diagnostics) {
	filename := "--var " + name
	if len(literal) > maxFileBytes {
		return cty.NilVal, hcl.Diagnostics{nowhere("Value too large", "The value of %s is over %s.", filename, formatSize(maxFileBytes))}
	}
	l.files.parsed[filename] = &hcl.File{Bytes: []byte(literal)}
	if diag := boundNative([]byte(literal), filename); diag != nil {
		return cty.NilVal, hcl.Diagnostics{diag}
	}
	expr, diags := hclsyntax.ParseExpression([]byte(literal), filename, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return expr.Value(&hcl.EvalContext{})
}

// guard marks the value of a sensitive variable.
func (l *loader) guard(v *variable, value cty.Value) cty.Value {
	if !v.sensitive {
		return value
	}
	value = value.Mark(origin{"var." + v.name})
	sensitiveLeaves(value, l.addSecret)
	return value
}

// validateVariables checks the conditions that variables declare.
func (l *loader) validateVariables(blocks hcl.Blocks) {
	for _, b := range blocks {
		content, _ := b.Body.Content(variableBlock.schema())
		for _, v := range content.Blocks {
			l.validateVariable(b.Labels[0], v)
		}
	}
}

func (l *loader) validateVariable(name string, b *hcl.Block) {
	d := l.decode(b, variableBlock.Blocks[0])
	d.anyOrigin = true
	ok, known := d.value("condition", cty.Bool)
	message := d.str("error_message")
	l.report(d.diags)
	if d.ok() && known && ok.IsKnown() && ok.False() {
		l.fail(at(d.rng("condition"), "Invalid value for a variable", "var.%s: %s", name, message))
	}
}

// declareLocals makes a node of each local.
func (l *loader) declareLocals(blocks hcl.Blocks) {
	for _, b := range blocks {
		attrs, diags := b.Body.JustAttributes()
		l.report(diags)
		for _, attr := range sortedAttributes(attrs) {
			l.declare("local."+attr.Name, attr.NameRange, func() (cty.Value, hcl.Diagnostics) { return l.eval(attr.Expr, nil) })
		}
	}
}

// sortedAttributes lists attributes as they stand in the file.
func sortedAttributes(attrs hcl.Attributes) []*hcl.Attribute {
	var out []*hcl.Attribute
	for _, a := range attrs {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].Range, out[j].Range
		return a.Filename < b.Filename || a.Filename == b.Filename && a.Start.Byte < b.Start.Byte
	})
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
