package config

import (
	"fmt"
	"sort"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// nearest returns the name closest to given, or "" when none is close enough to be meant.
func nearest(given string, names []string) string {
	sort.Strings(names)
	limit := 3
	if len(given) < 3 {
		limit = 2
	}
	best := ""
	for _, name := range names {
		if d := levenshtein.Distance(given, name, nil); d < limit {
			best, limit = name, d
		}
	}
	return best
}

// didYouMean is a sentence that offers the nearest of names, with a leading space, or else lists what there is.
func didYouMean(given string, names []string) string {
	if name := nearest(given, names); name != "" {
		return fmt.Sprintf(" Did you mean %q?", name)
	}
	const most = 12
	if len(names) == 0 || len(names) > most {
		return ""
	}
	return fmt.Sprintf(" There is: %s.", strings.Join(names, ", "))
}

// improve adds the nearest valid name to HCL's complaints about attributes that do not exist.
func improve(diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		if d.Summary != "Unsupported attribute" || d.Expression == nil || d.EvalContext == nil {
			continue
		}
		name, names := missingAttribute(d.Expression, d.EvalContext)
		if name != "" && !strings.Contains(d.Detail, "Did you mean") {
			d.Detail += didYouMean(name, names)
		}
	}
	return diags
}

// missingAttribute finds the first step of a traversal that does not exist, and what exists instead.
func missingAttribute(expr hcl.Expression, ctx *hcl.EvalContext) (string, []string) {
	var steps hcl.Traversal
	var val cty.Value
	switch e := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		var diags hcl.Diagnostics
		val, diags = e.Traversal[:1].TraverseAbs(ctx)
		if diags.HasErrors() {
			return "", nil
		}
		steps = e.Traversal[1:]
	case *hclsyntax.RelativeTraversalExpr:
		var diags hcl.Diagnostics
		val, diags = e.Source.Value(ctx)
		if diags.HasErrors() {
			return "", nil
		}
		steps = e.Traversal
	default:
		return "", nil
	}
	for _, step := range steps {
		next, diags := step.TraversalStep(val)
		if diags.HasErrors() {
			return stepName(step), attributeNames(val.Type())
		}
		val = next
	}
	return "", nil
}

func attributeNames(ty cty.Type) []string {
	if !ty.IsObjectType() {
		return nil
	}
	var names []string
	for name := range ty.AttributeTypes() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// stepName returns the name that a traversal step asks for, written .name or ["name"], or "".
func stepName(step hcl.Traverser) string {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if key := s.Key; key.Type() == cty.String && key.IsKnown() && !key.IsNull() && !key.IsMarked() {
			return key.AsString()
		}
	}
	return ""
}
