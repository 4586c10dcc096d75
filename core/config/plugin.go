package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Bounds on the schema of a plugin.
const (
	maxSchemaDepth = 8
	maxSchemaItems = 500
	maxTypeLength  = 1000
)

// pluginBlock reads a block that a plugin declares, and returns nil with errors.
func (d *decoder) pluginBlock(b *hcl.Block, kind base.Kind, name, label string, r hcl.Range) *plan.Block {
	if !d.l.describer.enabled() {
		return d.describedBlock(b, base.Description{}, name, label)
	}
	desc, err := d.l.describer.describe(kind, name)
	if err != nil {
		d.fail(unknownPlugin(kind, name, err, r))
		return nil
	}
	return d.describedBlock(b, desc, name, label)
}

func unknownPlugin(kind base.Kind, name string, err error, r hcl.Range) *hcl.Diagnostic {
	return at(r, "Plugin not usable", "The %s plugin %q: %v.%s", kind, name, err, remedyText(err))
}

// remedyText is what an error says can be done about it, as a sentence with a leading space.
func remedyText(err error) string {
	remedy := errdef.Remedy(err)
	if remedy == "" {
		return ""
	}
	return " To mend it: " + strings.TrimSuffix(remedy, ".") + "."
}

// describedBlock reads a block by the description of its plugin. Without descriptions it takes what is there.
func (d *decoder) describedBlock(b *hcl.Block, desc base.Description, name, label string) *plan.Block {
	config, diags := d.l.pluginConfig(b, desc.Schema, d.spec.nested(b.Type))
	d.diags = append(d.diags, diags...)
	if diags.HasErrors() || config == nil {
		d.gaveUp = d.gaveUp || config == nil
		return nil
	}
	return &plan.Block{Plugin: name, Label: label, Config: config}
}

// pluginConfig reads a block into the JSON that its plugin takes. Arguments of the core table are allowed beside those of the
// schema and left out, unless the schema declares them too. The result is nil without errors when something that the block
// refers to has failed.
func (l *loader) pluginConfig(b *hcl.Block, schema base.Schema, core *block) (json.RawMessage, hcl.Diagnostics) {
	var object map[string]json.RawMessage
	var diags hcl.Diagnostics
	if l.describer.enabled() {
		object, diags = l.schemaObject(b.Body, schema, core, 0)
	} else {
		object, diags = l.freeObject(b.Body, core)
	}
	if diags.HasErrors() || object == nil {
		return nil, diags
	}
	config, err := json.Marshal(object)
	if err != nil {
		return nil, append(diags, at(b.DefRange, "Cannot encode the block", "%v.", err))
	}
	return config, diags
}

// schemaObject reads a body by a plugin's schema.
func (l *loader) schemaObject(body hcl.Body, schema base.Schema, core *block, depth int) (map[string]json.RawMessage, hcl.Diagnostics) {
	if depth > maxSchemaDepth || len(schema.Attributes)+len(schema.Blocks) > maxSchemaItems {
		return nil, hcl.Diagnostics{at(body.MissingItemRange(), "Plugin with an unusable schema", "The plugin declares more arguments, or blocks nested deeper, than is allowed. Report it to its author.")}
	}
	shape := hclSchema(schema, core)
	content, diags := body.Content(shape)
	object := map[string]json.RawMessage{}
	complete := true
	for _, attr := range schema.Attributes {
		raw, ok, attrDiags := l.schemaAttribute(content, attr, body.MissingItemRange())
		diags = append(diags, attrDiags...)
		complete = complete && ok
		if raw != nil {
			object[attr.Name] = raw
		}
	}
	blocks := content.Blocks.ByType()
	for _, nested := range schema.Blocks {
		found := blocks[nested.Type]
		diags = append(diags, countBlocks(nested, found, body.MissingItemRange())...)
		list := []map[string]json.RawMessage{}
		for _, b := range found {
			inner, innerDiags := l.schemaObject(b.Body, nested.Schema, nil, depth+1)
			diags = append(diags, innerDiags...)
			complete = complete && inner != nil
			list = append(list, inner)
		}
		if raw, err := json.Marshal(list); err == nil && len(list) > 0 {
			object[nested.Type] = raw
		}
	}
	if !complete {
		return nil, diags
	}
	return object, diags
}

// hclSchema joins a plugin's schema and the core's arguments. Where both declare a name, it is the plugin's.
func hclSchema(schema base.Schema, core *block) *hcl.BodySchema {
	shape := &hcl.BodySchema{}
	has := map[string]bool{}
	for _, a := range schema.Attributes {
		if has[a.Name] {
			continue
		}
		has[a.Name] = true
		shape.Attributes = append(shape.Attributes, hcl.AttributeSchema{Name: a.Name, Required: a.Required && a.Default == nil})
	}
	if core != nil {
		for _, a := range core.Arguments {
			if !has[a.Name] {
				shape.Attributes = append(shape.Attributes, hcl.AttributeSchema{Name: a.Name})
			}
		}
	}
	if core != nil { // taken already by whoever reads the core's part; here for the sake of suggestions
		for _, b := range core.Blocks {
			has[b.Type] = true
			shape.Blocks = append(shape.Blocks, hcl.BlockHeaderSchema{Type: b.Type, LabelNames: b.Labels})
		}
	}
	for _, b := range schema.Blocks {
		if !has[b.Type] {
			has[b.Type] = true
			shape.Blocks = append(shape.Blocks, hcl.BlockHeaderSchema{Type: b.Type})
		}
	}
	return shape
}

func countBlocks(nested base.NestedBlock, found hcl.Blocks, missing hcl.Range) hcl.Diagnostics {
	if len(found) < nested.MinItems {
		return hcl.Diagnostics{at(missing, "Missing block", "At least %d %q block is needed here.", nested.MinItems, nested.Type)}
	}
	if nested.MaxItems > 0 && len(found) > nested.MaxItems {
		return hcl.Diagnostics{at(found[nested.MaxItems].DefRange, "Too many blocks", "There may be %d %q block here; the first is at %s.", nested.MaxItems, nested.Type, place(found[0].DefRange))}
	}
	return nil
}

// schemaAttribute reads one argument. raw is nil when it is absent, or not known yet; ok is false when its expression refers to
// something that has failed.
func (l *loader) schemaAttribute(content *hcl.BodyContent, attr base.Attribute, missing hcl.Range) (raw json.RawMessage, ok bool, diags hcl.Diagnostics) {
	ty, defaults, err := pluginType(attr.Type)
	if err != nil {
		return nil, true, hcl.Diagnostics{at(missing, "Plugin with an unusable schema", "The plugin declares %q with the type %q, which is none: %v. Report it to its author.", attr.Name, attr.Type, err)}
	}
	if attr.Default != nil && !json.Valid(attr.Default) {
		return nil, true, hcl.Diagnostics{at(missing, "Plugin with an unusable schema", "The plugin declares a default for %q that is not JSON. Report it to its author.", attr.Name)}
	}
	given := content.Attributes[attr.Name]
	if given == nil {
		return attr.Default, true, nil
	}
	v, diags := l.eval(given.Expr, nil)
	if v == cty.NilVal {
		return nil, false, diags
	}
	if defaults != nil && !v.IsNull() && !v.IsMarked() {
		v = defaults.Apply(v)
	}
	converted, err := convert.Convert(v, ty)
	if err != nil {
		return nil, true, append(diags, wrongType(given.Expr.Range(), fmt.Sprintf("%q", attr.Name), ty, err))
	}
	if attr.Sensitive && len(origins(converted)) == 0 {
		converted = converted.Mark(origin{attr.Name})
	}
	sensitiveLeaves(converted, l.addSecret)
	plain, _ := converted.UnmarkDeep()
	if plain.IsKnown() && plain.IsNull() {
		if attr.Required {
			diags = append(diags, at(given.Expr.Range(), "Missing value", "%q must not be null.", attr.Name))
		}
		return attr.Default, true, diags
	}
	if attr.Type == typePath && plain.IsKnown() {
		plain = cty.StringVal(l.path(plain.AsString()))
	}
	raw, err = encode(plain)
	if err != nil {
		diags = append(diags, at(given.Expr.Range(), "Wrong type", "%q: %v.", attr.Name, err))
	}
	return raw, true, diags
}

// pluginType reads a type as plugins write it: a type constraint of the language, or path.
func pluginType(text string) (cty.Type, *typeexpr.Defaults, error) {
	if text == typePath {
		return cty.String, nil, nil
	}
	if len(text) > maxTypeLength {
		return cty.NilType, nil, errors.New("it is too long")
	}
	if diag := boundNative([]byte(text), "type"); diag != nil {
		return cty.NilType, nil, errors.New(strings.TrimSuffix(diag.Detail, "."))
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilType, nil, errors.New(diags[0].Summary)
	}
	ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(expr)
	if diags.HasErrors() {
		return cty.NilType, nil, errors.New(strings.TrimSuffix(diags[0].Detail, "."))
	}
	return ty, defaults, nil
}

// encode turns a value without marks into JSON. What is not known becomes null, or nil at the top.
func encode(v cty.Value) (json.RawMessage, error) {
	if !v.IsKnown() {
		return nil, nil
	}
	known, err := cty.Transform(v, func(_ cty.Path, e cty.Value) (cty.Value, error) {
		if e.Type().IsCapsuleType() {
			return e, fmt.Errorf("a reference to a block cannot be given to a plugin")
		}
		if !e.IsKnown() {
			return cty.NullVal(e.Type()), nil
		}
		return e, nil
	})
	if err != nil {
		return nil, err
	}
	return ctyjson.Marshal(known, known.Type())
}

// freeObject takes every argument and block of a body as it is.
func (l *loader) freeObject(body hcl.Body, core *block) (map[string]json.RawMessage, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	object := map[string]json.RawMessage{}
	attrs := hcl.Attributes{}
	lists := map[string][]map[string]json.RawMessage{}
	if native, ok := body.(*hclsyntax.Body); ok {
		for name, a := range native.Attributes {
			attrs[name] = a.AsHCLAttribute()
		}
		for _, b := range native.Blocks {
			if core != nil && core.has(b.Type) {
				continue
			}
			inner, innerDiags := l.freeObject(b.Body, nil)
			diags = append(diags, innerDiags...)
			lists[b.Type] = append(lists[b.Type], inner)
		}
	} else {
		var attrDiags hcl.Diagnostics
		attrs, attrDiags = body.JustAttributes()
		diags = append(diags, attrDiags...)
	}
	for _, a := range sortedAttributes(attrs) {
		if core != nil && core.argument(a.Name) != nil {
			continue
		}
		v, evalDiags := l.eval(a.Expr, nil)
		diags = append(diags, evalDiags...)
		if v == cty.NilVal {
			return nil, diags
		}
		sensitiveLeaves(v, l.addSecret)
		plain, _ := v.UnmarkDeep()
		raw, err := encode(plain)
		if err != nil {
			diags = append(diags, at(a.Expr.Range(), "Wrong type", "%q: %v.", a.Name, err))
		}
		if raw != nil {
			object[a.Name] = raw
		}
	}
	for name, list := range lists {
		if raw, err := json.Marshal(list); err == nil {
			object[name] = raw
		}
	}
	return object, diags
}
