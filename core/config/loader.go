package config

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/voidbox-run/voidbox/core/plan"
)

// Types of references to blocks. A capsule has no attributes; it can only be handed on.
var (
	profileType = cty.Capsule("profile", reflect.TypeFor[profile]())
	sandboxType = cty.Capsule("sandbox", reflect.TypeFor[plan.Sandbox]())
	llmType     = cty.Capsule("llm", reflect.TypeFor[plan.LLM]())
	skillType   = cty.Capsule("skill", reflect.TypeFor[plan.Skill]())
	agentType   = cty.Capsule("agent", reflect.TypeFor[agentDecl]())
)

// loader turns one configuration into a plan. After load has returned it is only read, by the functions within the plan, and
// so may be used concurrently.
type loader struct {
	ctx       context.Context
	opt       Options
	files     *fileSet
	dir       string
	functions map[string]function.Function
	describer *describer

	nodes map[string]*node // by address
	order []*node          // as declared
	stack []*node          // being evaluated
	plan  *plan.Plan
	diags hcl.Diagnostics

	secrets map[string]bool // values in plan.Secrets
	loading bool
	spent   int // bytes of values made while loading
}

func newLoader(ctx context.Context, opt Options, files *fileSet) *loader {
	l := &loader{
		ctx: ctx, opt: opt, files: files, dir: files.dir,
		describer: newDescriber(ctx, opt.Describe),
		nodes:     map[string]*node{},
		secrets:   map[string]bool{},
		plan:      &plan.Plan{Name: planName(files.path, files.dir), Dir: files.dir},
	}
	l.functions = l.newFunctions()
	return l
}

func planName(path, dir string) string {
	base := filepath.Base(path)
	if name, ok := strings.CutSuffix(base, ".hcl.json"); ok {
		return name
	}
	if name, ok := strings.CutSuffix(base, ".hcl"); ok {
		return name
	}
	return filepath.Base(dir)
}

// load declares every block, then evaluates them all.
func (l *loader) load(body hcl.Body) {
	l.loading = true
	defer func() { l.loading = false }()
	content, diags := body.Content(root.schema())
	l.report(diags)
	byType := content.Blocks.ByType()
	l.describer.prefetch(content.Blocks)

	l.loadVoidbox(byType["voidbox"])
	l.declareVariables(byType["variable"])
	l.declareLocals(byType["locals"])
	l.declareEach(byType["secret"], l.evalSecret)
	l.declareEach(byType["profile"], l.evalProfile)
	l.declareEach(byType["sandbox"], l.evalSandbox)
	l.declareEach(byType["llm"], l.evalLLM)
	l.declareEach(byType["skill"], l.evalSkill)
	l.declareEach(byType["agent"], l.evalAgent)
	for _, n := range l.order {
		l.resolve(n)
	}
	l.validateVariables(byType["variable"])
	l.loadPipelines(byType["pipeline"], byType["output"])
}

func (l *loader) report(diags hcl.Diagnostics) { l.diags = append(l.diags, diags...) }

// fail reports one error.
func (l *loader) fail(diag *hcl.Diagnostic) { l.diags = append(l.diags, diag) }

// declareEach makes a node of each block, evaluated by eval.
func (l *loader) declareEach(blocks hcl.Blocks, eval func(*hcl.Block) (cty.Value, hcl.Diagnostics)) {
	for _, b := range blocks {
		if l.checkLabels(b) {
			l.declare(b.Type+"."+strings.Join(b.Labels, "."), b.DefRange, func() (cty.Value, hcl.Diagnostics) { return eval(b) })
		}
	}
}

// checkLabels demands that the labels of a block can be used in references.
func (l *loader) checkLabels(b *hcl.Block) bool {
	for i, label := range b.Labels {
		if !hclsyntax.ValidIdentifier(label) {
			l.fail(at(b.LabelRanges[i], "Invalid name", "%q is not a name. A name starts with a letter and holds letters, digits, \"_\" and \"-\".", label))
			return false
		}
	}
	return true
}

// path returns a path of the configuration made absolute.
func (l *loader) path(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, p[1:])
		}
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(l.dir, p)
}

// addSecret has a value redacted from now on.
func (l *loader) addSecret(name, value string) {
	if value == "" || l.secrets[value] {
		return
	}
	l.secrets[value] = true
	l.plan.Secrets = append(l.plan.Secrets, plan.Secret{Name: name, Value: value})
}
