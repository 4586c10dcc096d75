package config

import (
	"fmt"
	"strings"
	"testing"
)

// Files that multiply are refused, whatever they multiply: each names what it must be refused for.
func TestBombs(t *testing.T) {
	long := strings.Repeat("x", 500_000)
	var refs, chain, errs strings.Builder
	for n := range 3000 {
		fmt.Fprintf(&refs, "  r%d = local.big\n", n)
		fmt.Fprintf(&chain, "  c%d = %d + %s\n", n, n, strings.Repeat("1+", 8)+"1")
		fmt.Fprintf(&errs, "  e%d = local.missing%d\n", n, n)
	}
	for name, tc := range map[string]struct{ src, want string }{
		"brackets":            {"locals {\n  a = " + strings.Repeat("[", 100_000) + "\n}\n", "Nested too deeply"},
		"templates":           {"locals {\n  a = " + strings.Repeat("\"${", 5_000) + "\n}\n", "Nested too deeply"},
		"unary operators":     {"locals {\n  a = " + strings.Repeat("!", 100_000) + "true\n}\n", "Too many operators"},
		"a chain":             {"locals {\n  a = 1" + strings.Repeat("+1", 100_000) + "\n}\n", "Too many operators"},
		"conditions":          {"locals {\n  a = " + strings.Repeat("true?1:", 50_000) + "1\n}\n", "Too many operators"},
		"indexes":             {"locals {\n  a = x" + strings.Repeat("[0]", 50_000) + "\n}\n", "Too many operators"},
		"many operators":      {"locals {\n" + chain.String() + "}\n", "Too many operators"},
		"one string, often":   {"locals {\n  big = \"" + long + "\"\n  a = \"" + strings.Repeat("${local.big}", 1000) + "\"\n}\n", "too expensive"},
		"many copies":         {"locals {\n  big = \"" + long + "\"\n" + refs.String() + "}\n", "All values together"},
		"a loop over letters": {"locals {\n  big = \"" + long + "\"\n  a = [for n in range(1000) : local.big]\n}\n", "too expensive"},
		"a splat":             {"locals {\n  big = \"" + long + "\"\n  a = [for n in range(1000) : { x = 1 }][*][local.big]\n}\n", "too expensive"},
		"join":                {"locals {\n  big = \"" + long + "\"\n  a = join(local.big, [for n in range(500) : \"\"])\n}\n", "would be too large"},
		"replace":             {"locals {\n  big = \"" + long + "\"\n  a = replace(local.big, \"x\", \"" + strings.Repeat("y", 100) + "\")\n}\n", "would be too large"},
		"regexreplace":        {"locals {\n  big = \"" + long + "\"\n  a = regexreplace(local.big, \"x\", \"" + strings.Repeat("$0", 100) + "\")\n}\n", "would be too large"},
		"setproduct":          {"locals {\n  r = range(1000)\n  a = setproduct(local.r, local.r, local.r)\n}\n", "would be too large"},
		"indent":              {"locals {\n  a = indent(1e9, \"x\\ny\")\n}\n", "at most 1000"},
		"a width":             {"locals {\n  a = format(\"%*d\", 999999999, 1)\n}\n", "width"},
		"a number in JSON":    {"locals {\n  a = \"${jsondecode(\"1e999999999\")}\"\n}\n", "exponent"},
		"a number in text":    {"locals {\n  a = \"${\"1e999999999\" + 1}\"\n}\n", "exponent"},
		"a number made":       {"locals {\n  a = \"x${pow(10, 300) * pow(10, 300) * pow(10, 300) * pow(10, 300) * pow(10, 300)}\"\n  b = pow(10, 300) * pow(10, 300) * pow(10, 300) * pow(10, 300) * pow(10, 300)\n}\n", "too large to print"},
		"nested JSON":         {"locals {\n  a = jsondecode(\"" + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\")\n}\n", "nested"},
		"a mixed set":         {"locals {\n  a = toset([for n in range(1000) : n % 2 == 0 ? [n] : [n, n]])\n  b = toset(flatten([for n in range(1000) : [[n, tostring(n), true], [n, n, n], [n]]]))\n}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := loadText(t, tc.src, options())
			if err := diags.Err(); tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %.500v, want it to contain %q", err, tc.want)
			}
		})
	}
	_, diags := loadText(t, "locals {\n"+errs.String()+"}\n", options())
	if len(diags) != maxDiagnostics+1 || !strings.Contains(diags.Error(), "2950 more are not shown") {
		t.Errorf("%d findings", len(diags))
	}
}

func TestJSONBombs(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"arrays":   {`{"locals": {"a": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}`, "Nested too deeply"},
		"template": {`{"locals": {"a": "${` + strings.Repeat("(", 5000) + strings.Repeat(")", 5000) + `}"}}`, "Nested too deeply"},
		"number":   {`{"locals": {"a": 1e999999999}}`, "exponent"},
		"loops":    {`{"locals": {"r": "${range(1000)}", "a": ["${[for a in local.r : [for b in local.r : [for c in local.r : a]]]}"]}}`, "too expensive"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "main.hcl.json", tc.src)
			_, _, diags := Load(t.Context(), dir, options())
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %.500v, want it to contain %q", err, tc.want)
			}
		})
	}
}

// What people write is not refused.
func TestOrdinaryValuesAreNotBombs(t *testing.T) {
	const src = `
locals {
  names  = [for n in range(200) : "name-${n}"]
  pairs  = { for p in setproduct(local.names, ["a", "b"]) : "${p[0]}-${p[1]}" => { name = p[0], kind = p[1] } }
  listed = join("\n", [for k, p in local.pairs : "${k}: ${p.name} is ${p.kind}"])
  json   = jsonencode({ for k, p in local.pairs : k => merge(p, { text = upper(local.listed) == "" ? "x" : "y" }) })
  names2 = [for p in values(local.pairs) : p.name if p.kind == "a"]
  all    = values(local.pairs)[*].name
}
`
	if _, diags := loadText(t, src, options()); diags.HasErrors() {
		t.Error(diags)
	}
}
