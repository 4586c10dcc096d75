package config

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// pureFunctions need nothing but their arguments.
var pureFunctions = map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc, "max": stdlib.MaxFunc,
	"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc, "sum": sumFunction,

	"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc, "indent": stdlib.IndentFunc,
	"join": stdlib.JoinFunc, "lower": stdlib.LowerFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc,
	"regexreplace": stdlib.RegexReplaceFunc, "replace": stdlib.ReplaceFunc, "split": stdlib.SplitFunc, "strlen": stdlib.StrlenFunc,
	"strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc,
	"trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,

	"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
	"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc,
	"element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "index": stdlib.IndexFunc, "keys": stdlib.KeysFunc,
	"length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc, "range": stdlib.RangeFunc,
	"reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc,
	"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc,
	"values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

	"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
	"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,
	"base64encode": textFunction(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }),
	"base64decode": textFunction(decodeBase64),
	"sha256":       textFunction(hashText),
	"basename":     textFunction(func(s string) (string, error) { return filepath.Base(s), nil }),
	"dirname":      textFunction(func(s string) (string, error) { return filepath.Dir(s), nil }),

	"tobool": stdlib.MakeToFunc(cty.Bool), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
	"tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), "tonumber": stdlib.MakeToFunc(cty.Number),
	"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tostring": stdlib.MakeToFunc(cty.String),
}

// lazyFunctions decide themselves what of their arguments is evaluated.
var lazyFunctions = map[string]function.Function{"can": tryfunc.CanFunc, "try": tryfunc.TryFunc}

// functionNames lists what expressions can call.
func functionNames() []string {
	names := []string{"abspath", "file", "templatefile"}
	for name := range pureFunctions {
		names = append(names, name)
	}
	for name := range lazyFunctions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// newFunctions returns the functions of one configuration. Results are bounded.
func (l *loader) newFunctions() map[string]function.Function {
	fns := map[string]function.Function{}
	for name, fn := range pureFunctions {
		fns[name] = bounded(name, fn)
	}
	for name, fn := range lazyFunctions {
		fns[name] = fn
	}
	fns["file"] = textFunction(l.readText)
	fns["abspath"] = textFunction(func(p string) (string, error) { return l.path(p), nil })
	fns["templatefile"] = l.templateFunction(fns)
	fns["env"] = envFunction
	return fns
}

// bounded wraps a function so that it refuses arguments that would make it produce far too much, and checks what it returns.
func bounded(name string, fn function.Function) function.Function {
	return function.New(&function.Spec{
		Params:   fn.Params(),
		VarParam: fn.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := checkArguments(name, args); err != nil {
				return cty.NilType, err
			}
			return fn.ReturnTypeForValues(uniform(name, args))
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := fn.Call(uniform(name, args))
			if err != nil {
				return v, err
			}
			size, printable := measure(v)
			if size > maxValueBytes || !printable {
				return cty.NilVal, fmt.Errorf("the result is too large")
			}
			return v, nil
		},
	})
}

// maxMixed bounds the lists of mixed types that are converted: cty compares each type with each other.
const maxMixed = 2000

// uniform makes a list of a tuple whose elements have one type, so that converting it does not compare each with each other.
func uniform(name string, args []cty.Value) []cty.Value {
	if name != "toset" && name != "tolist" || len(args) != 1 || !args[0].Type().IsTupleType() || args[0].IsMarked() || !args[0].IsKnown() {
		return args
	}
	types := args[0].Type().TupleElementTypes()
	for _, ty := range types {
		if !ty.Equals(types[0]) || ty == cty.DynamicPseudoType {
			return args
		}
	}
	if len(types) == 0 {
		return args
	}
	return []cty.Value{cty.ListVal(args[0].AsValueSlice())}
}

// Formats may pad to a width, and take the width from an argument.
var wideVerb = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{3,}|\*)`)

// errTooMuch says that a call would produce too much.
var errTooMuch = errors.New("the result would be too large")

// checkArguments knows the functions whose results can be much larger than their arguments.
func checkArguments(name string, args []cty.Value) error {
	switch name {
	case "format", "formatlist":
		if wideVerb.MatchString(textArg(args, 0)) {
			return errors.New("the width of a verb may be at most 99")
		}
	case "indent":
		if n, ok := numberArg(args, 0); ok && n > 1000 {
			return errors.New("the indentation may be at most 1000")
		}
	case "toset", "tolist":
		if u := uniform(name, args); lengthOf(u[0]) > maxMixed && u[0].Type().IsTupleType() {
			return fmt.Errorf("a list of mixed types may have at most %d elements", maxMixed)
		}
	case "tomap":
		if lengthOf(args[0]) > maxMixed && args[0].Type().IsObjectType() {
			return fmt.Errorf("an object may have at most %d attributes", maxMixed)
		}
	case "parseint":
		if len(textArg(args, 0)) > 1000 {
			return errTooMuch
		}
	case "jsondecode":
		return checkJSON(textArg(args, 0))
	case "tonumber":
		if hugeNumber(textArg(args, 0)) {
			return errTooMuch
		}
	case "replace":
		text, old, repl := textArg(args, 0), textArg(args, 1), textArg(args, 2)
		if (len(text)/max(1, len(old))+1)*len(repl) > maxValueBytes {
			return errTooMuch
		}
	case "regexreplace":
		text, repl := textArg(args, 0), textArg(args, 2)
		if (len(text)+1)*(len(repl)+1) > 4*maxValueBytes {
			return errTooMuch
		}
	case "join":
		items := 0
		for _, a := range args[min(1, len(args)):] {
			items += lengthOf(a)
		}
		if items*len(textArg(args, 0)) > maxValueBytes {
			return errTooMuch
		}
	case "setproduct":
		product := 1
		for _, a := range args {
			if product *= lengthOf(a); product > maxInstances {
				return errTooMuch
			}
		}
	}
	return nil
}

// checkJSON refuses documents that would exhaust the decoder's stack, or hold numbers that cannot be printed.
func checkJSON(text string) error {
	if diag := boundJSON([]byte(text), ""); diag != nil && json.Valid([]byte(text)) {
		return errors.New(diag.Detail)
	}
	if text != "" && !json.Valid([]byte(text)) {
		return errors.New("not a JSON document")
	}
	return nil
}

func textArg(args []cty.Value, i int) string {
	if i >= len(args) {
		return ""
	}
	v, _ := args[i].Unmark()
	if v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return ""
	}
	return v.AsString()
}

func numberArg(args []cty.Value, i int) (float64, bool) {
	if i >= len(args) {
		return 0, false
	}
	v, _ := args[i].Unmark()
	if v.Type() != cty.Number || !v.IsKnown() || v.IsNull() {
		return 0, false
	}
	n, _ := v.AsBigFloat().Float64()
	return n, true
}

func lengthOf(v cty.Value) int {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return 0
	}
	return v.LengthInt()
}

// textFunction makes a function of one string.
func textFunction(fn func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := fn(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(text), nil
		},
	})
}

// sumFunction adds up numbers; of none it is 0.
var sumFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "numbers", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.Zero
		for _, n := range args[0].AsValueSlice() {
			if n.IsNull() {
				return cty.NilVal, errors.New("null cannot be added up")
			}
			total = total.Add(n)
		}
		return total, nil
	},
})

func decodeBase64(text string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("not base64")
	}
	if !utf8.Valid(raw) {
		return "", errors.New("the decoded bytes are not UTF-8 text")
	}
	return string(raw), nil
}

func hashText(text string) (string, error) {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]), nil
}

// readText reads a text file beside the configuration.
func (l *loader) readText(name string) (string, error) {
	src, err := readBounded(l.path(name), maxFileBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no file %s (looked for %s)", name, l.path(name))
	case errors.Is(err, errTooLarge):
		return "", fmt.Errorf("%s is over %s; mount it into the sandbox instead", name, formatSize(maxFileBytes))
	case err != nil:
		return "", err
	case !utf8.Valid(src):
		return "", fmt.Errorf("%s is not UTF-8 text", name)
	}
	return string(src), nil
}

// templateFunction renders a file as a template. Templates cannot render templates, which bounds recursion.
func (l *loader) templateFunction(fns map[string]function.Function) function.Function {
	within := map[string]function.Function{}
	for name, fn := range fns {
		within[name] = fn
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType, AllowMarked: true}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := l.readText(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return l.render(text, args[0].AsString(), args[1], within)
		},
	})
}

func (l *loader) render(text, name string, vars cty.Value, fns map[string]function.Function) (cty.Value, error) {
	object, marks := vars.Unmark()
	if !object.Type().IsObjectType() && !object.Type().IsMapType() || object.IsNull() {
		return cty.NilVal, errors.New("the second argument must be an object: what the template can refer to")
	}
	if !object.IsKnown() {
		return cty.UnknownVal(cty.String).WithMarks(marks), nil
	}
	if diag := boundTemplate([]byte(text), name); diag != nil {
		return cty.NilVal, diag
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(text), name, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	ctx := &hcl.EvalContext{Variables: object.AsValueMap(), Functions: fns}
	if diag := l.boundCost(expr, ctx, map[string]extent{}); diag != nil {
		return cty.NilVal, diag
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return cty.NilVal, improve(diags)
	}
	v, err := stdlib.MakeToFunc(cty.String).Call([]cty.Value{v})
	if err != nil {
		return cty.NilVal, fmt.Errorf("%s: %w", name, err)
	}
	return v.WithMarks(marks), nil
}

// envFunction exists to say what to use instead.
var envFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "name", Type: cty.String, AllowUnknown: true, AllowMarked: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		name := textArg(args, 0)
		if name == "" {
			name = "NAME"
		}
		return cty.NilType, fmt.Errorf("the environment is read through secrets only, so that its values are never shown. Declare secret %q { env = %q } and refer to secret.%s", strings.ToLower(name), name, strings.ToLower(name))
	},
})
