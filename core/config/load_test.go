package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/core/plan"
)

const agentText = `
sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "claude" "main" {}

agent "a" {
  sandbox = sandbox.box
  llm     = llm.claude.main
  prompt  = "%PROMPT%"
}
`

func agentFile(prompt string) string { return strings.Replace(agentText, "%PROMPT%", prompt, 1) }

func prompt(t *testing.T, p *plan.Plan) string {
	t.Helper()
	run, err := p.Agents[0].Bind()
	if err != nil {
		t.Fatal(err)
	}
	return run.Prompt
}

func TestVariables(t *testing.T) {
	const src = `
variable "text" { default = "d" }
variable "typed" {
  type    = string
  default = "d"
}
variable "count" { default = 1 }
variable "list" {
  type    = list(string)
  default = []
}
variable "free" { default = { a = 1 } }
` + agentText
	file := strings.Replace(src, "%PROMPT%", "${var.text} ${var.typed} ${var.count + 1} ${join(\"+\", var.list)} ${jsonencode(var.free)}", 1)
	for name, tc := range map[string]struct {
		vars map[string]string
		want string
	}{
		"defaults":               {nil, `d d 2  {"a":1}`},
		"a string is literal":    {map[string]string{"text": "1 + 1", "typed": "[x]"}, `1 + 1 [x] 2  {"a":1}`},
		"others are expressions": {map[string]string{"count": "3", "list": `["x", "y"]`, "free": "[1, 2]"}, `d d 4 x+y [1,2]`},
		"a bare word is free":    {map[string]string{"free": "word"}, `d d 2  "word"`},
	} {
		t.Run(name, func(t *testing.T) {
			opt := options()
			opt.Vars = tc.vars
			if got := prompt(t, good(t, file, opt)); got != tc.want {
				t.Errorf("prompt %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVariableFilesAndTheirOrder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one.vars.hcl", "a = \"one\"\nb = \"one\"\nc = \"one\"\n")
	write(t, dir, "two.vars.hcl.json", `{"b": "two", "c": "two"}`)
	write(t, dir, "main.hcl", "variable \"a\" {}\nvariable \"b\" {}\nvariable \"c\" {}\n"+agentFile("${var.a} ${var.b} ${var.c}"))
	opt := options()
	opt.VarFiles = []string{filepath.Join(dir, "one.vars.hcl"), filepath.Join(dir, "two.vars.hcl.json")}
	opt.Vars = map[string]string{"c": "flag"}
	// Variable files are not read as configuration when the directory is loaded.
	if got := prompt(t, load(t, dir, opt)); got != "one two flag" {
		t.Errorf("prompt %q", got)
	}
}

func TestWrongVariables(t *testing.T) {
	for name, tc := range map[string]struct {
		vars map[string]string
		want string
	}{
		"unknown":     {map[string]string{"cuont": "3"}, `Did you mean "count"?`},
		"wrong type":  {map[string]string{"count": "many"}, "var.count must be a number"},
		"a reference": {map[string]string{"list": "[local.x]"}, "Variables may not be used here"},
		"no list":     {map[string]string{"list": "["}, "--var list line 1"},
		"an exponent": {map[string]string{"count": "1e999999999"}, "exponent"},
	} {
		t.Run(name, func(t *testing.T) {
			opt := options()
			opt.Vars = tc.vars
			_, diags := loadText(t, "variable \"count\" { default = 1 }\nvariable \"list\" { type = list(string) }\n", opt)
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want it to contain %q", err, tc.want)
			}
		})
	}
}

func TestSecretFromFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "key", "from-a-file\n\n")
	write(t, dir, "main.hcl", "secret \"k\" { file = \"key\" }\nllm \"claude\" \"main\" { api_key = secret.k }\n")
	p := load(t, filepath.Join(dir, "main.hcl"), options())
	if got := string(p.LLMs[0].Config); got != `{"api_key":"from-a-file","retries":3}` {
		t.Errorf("configuration %s", got)
	}
	if diff := cmp.Diff([]plan.Secret{{Name: "secret.k", Value: "from-a-file"}}, p.Secrets); diff != "" {
		t.Error(diff)
	}
}

// Validation needs no secrets, and the same file cannot run without them.
func TestSecretsOptional(t *testing.T) {
	const src = `
secret "k" { env = "NOT_SET" }
sandbox "box" {
  backend = "mock"
  image   = "base"
  env     = { K = "x${secret.k}" }
  expose  = [secret.k]
}
llm "claude" "main" { api_key = secret.k }
agent "a" {
  sandbox = sandbox.box
  llm     = llm.claude.main
  prompt  = secret.k
}
`
	opt := options()
	opt.SecretsOptional = true
	p := good(t, src, opt)
	if got := p.Sandboxes[0].Env["K"]; got != plan.Redacted {
		t.Errorf("environment %q", got)
	}
	if got := string(p.LLMs[0].Config); got != `{"retries":3}` {
		t.Errorf("configuration %s", got)
	}
	if _, err := p.Agents[0].Bind(); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("binding without the secret: %v", err)
	}
	_, diags := loadText(t, strings.Replace(src, "expose  = [secret.k]", "", 1), opt)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "secret.k") {
		t.Errorf("a missing secret still must not enter the sandbox: %v", err)
	}
}

// A message never quotes a secret.
func TestDiagnosticsAreRedacted(t *testing.T) {
	const src = `
secret "k" { env = "TOKEN" }
locals { n = jsondecode("{\"a\": ${secret.k}}") }
llm "claude" "main" { retries = secret.k }
agent "a" {
  sandbox = sandbox.none
  llm     = { (secret.k) = 1 }[secret.k].x
  prompt  = file(secret.k)
}
`
	_, diags := loadText(t, src, options())
	if !diags.HasErrors() {
		t.Fatal("no errors")
	}
	js, err := json.Marshal(diags)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(diags.Error()+string(js), "token-value") {
		t.Errorf("the secret shows:\n%s", diags.Error())
	}
}

func TestDirectoryIsOneConfiguration(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.hcl", agentFile("${local.x}"))
	write(t, dir, "b.hcl.json", `{"locals": {"x": "from b"}}`)
	write(t, dir, LockFileName, "this is no configuration {")
	p := load(t, dir, options())
	if got := prompt(t, p); got != "from b" {
		t.Errorf("prompt %q", got)
	}
	if p.Name != filepath.Base(dir) || p.Dir != dir {
		t.Errorf("name %q, directory %q", p.Name, p.Dir)
	}
}

func TestUnreadableConfigurations(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "large.hcl", strings.Repeat("# filler\n", maxFileBytes/9+1))
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.hcl"):  "does not exist",
		filepath.Join(dir, "large.hcl"): "too large",
		empty:                           "holds no file",
		"/dev/zero":                     "not a regular file",
	} {
		_, src, diags := Load(t.Context(), path, options())
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
		if src == nil {
			t.Errorf("%s: no source", path)
		}
	}
}

// JSON syntax is the same language.
func TestJSONSyntax(t *testing.T) {
	native := load(t, "testdata/json/same.hcl", options())
	asJSON := load(t, "testdata/json/same.hcl.json", options())
	origin := regexp.MustCompile(`"same\.hcl(\.json)?:\d+"`) // where a rule stands is all that differs
	plain := func(p *plan.Plan) string { return origin.ReplaceAllString(render(t, p), `"here"`) }
	if diff := cmp.Diff(plain(native), plain(asJSON)); diff != "" {
		t.Errorf("-native +json:\n%s", diff)
	}
}

// The functions of a plan are called by stages that run at once.
func TestBindIsConcurrent(t *testing.T) {
	p := load(t, "testdata/good/everything.hcl", options())
	results := plan.Results{}
	for _, s := range p.Pipelines[0].Stages {
		results[s.ID()] = plan.Result{Output: "x"}
	}
	var wg sync.WaitGroup
	for range 4 {
		for _, s := range p.Pipelines[0].Stages {
			wg.Go(func() {
				if _, err := s.Bind(results); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

// A result that an expression cannot work with is an error of that expression, with its place.
func TestBindFailsWithItsPlace(t *testing.T) {
	const src = agentText + `
agent "b" {
  sandbox = sandbox.box
  llm     = llm.claude.main
  prompt  = "${input.n}"
}
pipeline "p" {
  stage "one" { agent = agent.a }
  stage "two" {
    agent = agent.b
    input = { n = jsondecode(stage.one.output).n }
  }
  output "n" { value = jsondecode(stage.one.output).n }
}
`
	p := good(t, src, options())
	pipe := p.Pipelines[0]
	results := plan.Results{"one": {Output: `{"n": 5}`}}
	run, err := pipe.Stages[1].Bind(results)
	if err != nil || run.Prompt != "5" {
		t.Fatalf("run %+v, error %v", run, err)
	}
	if v, err := pipe.Outputs[0].Value(results); err != nil || v != int64(5) {
		t.Errorf("output %v (%T), error %v", v, v, err)
	}
	for _, results := range []plan.Results{nil, {"one": {Output: "no JSON"}}, {"one": {Output: `{}`}}} {
		if _, err := pipe.Stages[1].Bind(results); err == nil || !strings.Contains(err.Error(), "main.hcl line") {
			t.Errorf("results %v: error %v", results, err)
		}
		if _, err := pipe.Outputs[0].Value(results); err == nil || !strings.Contains(err.Error(), "main.hcl line") {
			t.Errorf("results %v: error %v", results, err)
		}
	}
}

func TestResultsAsValues(t *testing.T) {
	const src = agentText + `
pipeline "p" {
  stage "s" { agent = agent.a }
  output "all" { value = stage.s }
}
`
	p := good(t, src, options())
	got, err := p.Pipelines[0].Outputs[0].Value(plan.Results{"s": {
		Output: "o", Model: "m", Turns: 3, Tools: []string{"bash"}, InputTokens: 7, OutputTokens: 8, CostUSD: 0.25, CostKnown: true, Duration: 1500e6,
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"output": "o", "model": "m", "turns": int64(3), "tools": []any{"bash"}, "input_tokens": int64(7), "output_tokens": int64(8),
		"cost_usd": 0.25, "duration": 1.5, "artefacts": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForEachOverNothing(t *testing.T) {
	const src = agentText + `
pipeline "p" {
  stage "s" {
    for_each = toset([])
    agent    = agent.a
  }
  output "all" { value = [for s in stage.s : s.output] }
}
`
	p := good(t, src, options())
	if n := len(p.Pipelines[0].Stages); n != 0 {
		t.Fatalf("%d stages", n)
	}
	if v, err := p.Pipelines[0].Outputs[0].Value(nil); err != nil || len(v.([]any)) != 0 {
		t.Errorf("output %v, error %v", v, err)
	}
}

func TestFunctionsReadBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "p.txt", "from a file")
	write(t, dir, "main.hcl", agentFile(`${file(\"p.txt\")} ${abspath(\"x\")}`))
	src, err := os.ReadFile(filepath.Join(dir, "main.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "main.hcl", strings.ReplaceAll(string(src), `\"`, `"`))
	if got, want := prompt(t, load(t, filepath.Join(dir, "main.hcl"), options())), "from a file "+filepath.Join(dir, "x"); got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
}

func TestWithoutDescriptionsBlocksAreFree(t *testing.T) {
	opt := options()
	opt.Describe = nil
	p := good(t, "llm \"any\" \"main\" {\n  model = \"m\"\n  x = [1, true]\n  nested {\n    y = \"z\"\n  }\n}\n", opt)
	if got := string(p.LLMs[0].Config); got != `{"nested":[{"y":"z"}],"x":[1,true]}` || p.LLMs[0].Model != "m" {
		t.Errorf("configuration %s, model %q", got, p.LLMs[0].Model)
	}
}

func TestRequirementsNeedNothingElse(t *testing.T) {
	reqs, diags := Requirements("testdata/good/everything.hcl")
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	if len(reqs) != 2 || reqs[0].Name != "echo" || !reqs[1].Dev {
		t.Errorf("requirements %+v", reqs)
	}
	// The rest of the file may be wrong: Load says so.
	if _, diags := Requirements("testdata/bad/wrong_type.hcl"); diags.HasErrors() {
		t.Error(diags)
	}
	if _, diags := Requirements("testdata/bad/required_plugins.hcl"); !diags.HasErrors() {
		t.Error("bad requirements pass")
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
