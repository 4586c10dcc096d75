package config

import (
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
)

// resultType is what expressions see of a stage that has finished.
var resultType = cty.Object(map[string]cty.Type{
	"output":        cty.String,
	"model":         cty.String,
	"turns":         cty.Number,
	"tools":         cty.List(cty.String),
	"input_tokens":  cty.Number,
	"output_tokens": cty.Number,
	"cost_usd":      cty.Number, // null when the provider does not say
	"duration":      cty.Number, // seconds
	"artefacts":     cty.String, // null without any
})

// resultDocs describes the attributes of a result.
var resultDocs = map[string]string{
	"output":        "What the agent produced: its last text, or the content of its output_file.",
	"model":         "Model that answered.",
	"turns":         "Turns that it took.",
	"tools":         "Names of the tools called, in order.",
	"input_tokens":  "Tokens sent to the model.",
	"output_tokens": "Tokens received from the model.",
	"cost_usd":      "Money spent, in US dollars; null when it is not known.",
	"duration":      "Seconds that it took.",
	"artefacts":     "Directory of the host that holds what the agent left, for `files` of later stages; null when the agent names no artefacts.",
}

// unknownResult stands for a result before the run: each attribute has its type and no value, so that what is made of it can
// be checked. That there will be no artefacts may be known.
func unknownResult(bare bool) cty.Value {
	attrs := map[string]cty.Value{}
	for name, ty := range resultType.AttributeTypes() {
		attrs[name] = cty.UnknownVal(ty)
	}
	if bare {
		attrs["artefacts"] = cty.NullVal(cty.String)
	}
	return cty.ObjectVal(attrs)
}

func resultValue(r plan.Result) cty.Value {
	cost := cty.NullVal(cty.Number)
	if r.CostKnown {
		cost = cty.NumberFloatVal(r.CostUSD)
	}
	artefacts := cty.NullVal(cty.String)
	if r.Artefacts != "" {
		artefacts = cty.StringVal(r.Artefacts)
	}
	tools := cty.ListValEmpty(cty.String)
	if len(r.Tools) > 0 {
		names := make([]cty.Value, len(r.Tools))
		for i, name := range r.Tools {
			names[i] = cty.StringVal(name)
		}
		tools = cty.ListVal(names)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"output":        cty.StringVal(r.Output),
		"model":         cty.StringVal(r.Model),
		"turns":         cty.NumberIntVal(int64(r.Turns)),
		"tools":         tools,
		"input_tokens":  cty.NumberUIntVal(r.InputTokens),
		"output_tokens": cty.NumberUIntVal(r.OutputTokens),
		"cost_usd":      cost,
		"duration":      cty.NumberFloatVal(r.Duration.Seconds()),
		"artefacts":     artefacts,
	})
}

// goValue turns a value without marks into plain Go: string, int64 or float64, bool, nil, []any or map[string]any.
func goValue(v cty.Value) (any, error) {
	ty := v.Type()
	switch {
	case !v.IsKnown():
		return nil, fmt.Errorf("the value is not known")
	case v.IsNull():
		return nil, nil
	case ty == cty.String:
		return v.AsString(), nil
	case ty == cty.Bool:
		return v.True(), nil
	case ty == cty.Number:
		return goNumber(v.AsBigFloat()), nil
	case ty.IsListType(), ty.IsSetType(), ty.IsTupleType():
		list := []any{}
		for _, e := range v.AsValueSlice() {
			g, err := goValue(e)
			if err != nil {
				return nil, err
			}
			list = append(list, g)
		}
		return list, nil
	case ty.IsMapType(), ty.IsObjectType():
		object := map[string]any{}
		for key, e := range v.AsValueMap() {
			g, err := goValue(e)
			if err != nil {
				return nil, err
			}
			object[key] = g
		}
		return object, nil
	}
	return nil, fmt.Errorf("%s is a reference, not a value", ty.FriendlyName())
}

func goNumber(f *big.Float) any {
	if n, accuracy := f.Int64(); accuracy == big.Exact {
		return n
	}
	n, _ := f.Float64()
	return n
}
