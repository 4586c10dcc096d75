package config

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
)

// Bounds of an agent.
const (
	maxTurns       = 10_000
	maxOutputBytes = 64 << 20
	maxPromptBytes = 1 << 20
	maxTokens      = 1 << 40
)

// nativeTools are the tools of the native loop.
var nativeTools = []string{"bash", "read", "write", "edit", "skill"}

// agentDecl is a declared agent. Its block is read again for each use, with that use's input.
type agentDecl struct {
	plan  *plan.Agent
	block *hcl.Block
	uses  []hcl.Traversal // of input
	keeps bool            // names artefacts
}

// stageInput is what a stage gives an agent.
type stageInput struct {
	value cty.Value // NilVal: nothing
	stage string    // address of the stage
	place hcl.Range
}

// evalAgent reads an agent block.
func (l *loader) evalAgent(b *hcl.Block) (cty.Value, hcl.Diagnostics) {
	d := l.decode(b, agentBlock)
	a := &agentDecl{plan: &plan.Agent{Name: b.Labels[0]}, block: b, uses: d.usesOf("input"), keeps: d.has("artefacts")}
	a.plan.NeedsInput = len(a.uses) > 0
	d.bindings(a.plan)
	if !d.ok() || a.plan.Sandbox == nil || a.plan.LLM == nil {
		return cty.NilVal, d.diags
	}
	// Checked without an input, the prompt may ask anything of it.
	_, diags := l.instantiate(a, stageInput{value: cty.DynamicVal}, false)
	if diags.HasErrors() {
		return cty.NilVal, append(d.diags, diags...)
	}
	if !a.plan.NeedsInput {
		a.plan.Bind = func() (*plan.AgentRun, error) {
			run, diags := l.instantiate(a, stageInput{}, true)
			return run, l.late(diags)
		}
	}
	a.plan.Delegate = func(task string) (*plan.AgentRun, error) { return l.delegate(a, task) }
	l.plan.Agents = append(l.plan.Agents, a.plan)
	return cty.CapsuleVal(agentType, a), append(d.diags, diags...)
}

// late makes an error of what went wrong after loading.
func (l *loader) late(diags hcl.Diagnostics) error {
	return newDiagnostics(diags, l.files, l.plan.Secrets).Err()
}

// usesOf lists the references to a root name in the block and the blocks within.
func (d *decoder) usesOf(root string) []hcl.Traversal {
	return slices.DeleteFunc(d.references(), func(t hcl.Traversal) bool { return t.RootName() != root })
}

// references lists all references in the block and the blocks within.
func (d *decoder) references() []hcl.Traversal {
	var refs []hcl.Traversal
	for _, attr := range sortedAttributes(d.content.Attributes) {
		refs = append(refs, attr.Expr.Variables()...)
	}
	for _, b := range d.content.Blocks {
		refs = append(refs, d.l.decode(b, d.spec.nested(b.Type)).references()...)
	}
	return refs
}

// bindings reads what an agent is bound to. It cannot depend on input, since a template stands in the graph before any input.
func (d *decoder) bindings(a *plan.Agent) {
	if v, ok := d.value("sandbox", sandboxType); ok && v.IsKnown() {
		a.Sandbox = v.EncapsulatedValue().(*plan.Sandbox)
	}
	if v, ok := d.value("llm", llmType); ok && v.IsKnown() {
		a.LLM = v.EncapsulatedValue().(*plan.LLM)
	}
	if v, ok := d.value("skills", cty.List(skillType)); ok && v.IsKnown() {
		seen := map[*plan.Skill]bool{}
		for _, e := range v.AsValueSlice() {
			if e.IsNull() || !e.IsKnown() {
				continue
			}
			s := e.EncapsulatedValue().(*plan.Skill)
			if seen[s] {
				d.fail(at(d.rng("skills"), "Duplicate skill", "skill.%s.%s is listed twice.", s.Plugin, s.Label))
			}
			seen[s] = true
			a.Skills = append(a.Skills, s)
		}
	}
}

// instantiate reads an agent's block with an input. final demands that everything is known.
func (l *loader) instantiate(a *agentDecl, in stageInput, final bool) (*plan.AgentRun, hcl.Diagnostics) {
	d := l.decode(a.block, agentBlock)
	d.strict = final
	d.exposed = toSet(a.plan.Sandbox.Exposed)
	if in.value != cty.NilVal {
		d.local = map[string]cty.Value{"input": in.value}
	}
	run := &plan.AgentRun{
		Agent: a.plan.Name, Sandbox: a.plan.Sandbox, LLM: a.plan.LLM, Skills: a.plan.Skills,
		Prompt: d.prompt("prompt"), System: d.prompt("system"), Model: orDefault(d.str("model"), a.plan.LLM.Model),
		Tools: d.tools(a.plan), Mode: d.choice("mode"), Interactive: d.flag("interactive"),
		MaxTurns:    int(d.integer("max_turns", 1, maxTurns, plan.DefaultMaxTurns)),
		OutputFile:  d.guestPath("output_file"),
		Artefacts:   d.artefacts(a.plan.Sandbox),
		OutputBytes: int(d.size("output_limit", 256, maxOutputBytes, plan.DefaultOutputBytes)),
	}
	if run.Mode == "cli" {
		d.refuseHostSkills(run.Skills)
	}
	if run.Mode == "native" && run.Interactive {
		d.fail(at(d.rng("interactive"), "Nobody to talk to", "The native loop has no terminal. An interactive agent is the provider's own command line: leave out \"mode\"."))
	}
	if run.Interactive {
		run.Mode = "cli"
	}
	run.ToolTimeout = d.duration("tool_timeout", plan.DefaultToolTimeout)
	d.budget(run)
	return run, explainInput(d.diags, in)
}

// refuseHostSkills says which skills a command-line agent cannot use.
func (d *decoder) refuseHostSkills(skills []*plan.Skill) {
	for _, s := range skills {
		what := ""
		switch {
		case s.Host:
			what = "an MCP server on the host"
		case s.Agent != nil:
			what = "another agent"
		default:
			continue
		}
		d.fail(at(d.rng("mode"), "Skill without effect", "skill.%s.%s is %s, which a command-line agent in the sandbox cannot use. Set mode = \"native\".", s.Plugin, s.Label, what))
	}
}

// artefacts reads the guest's paths of what is kept. Each goes by its last name, so that two of one name would be one.
func (d *decoder) artefacts(box *plan.Sandbox) []string {
	var paths []string
	taken := map[string]string{}
	for _, p := range d.strs("artefacts") {
		if p == "" || p == plan.Redacted {
			continue // not known yet
		}
		p = guestHome(p, box.User)
		if diag := checkGuestPath(p, d.rng("artefacts")); diag != nil {
			d.fail(diag)
			continue
		}
		p = path.Clean(p)
		if p == "/" {
			d.fail(at(d.rng("artefacts"), "Invalid path", "The whole file system is no artefact. Name a file or a directory in it."))
			continue
		}
		name := path.Base(p)
		if other, ok := taken[name]; ok {
			d.fail(at(d.rng("artefacts"), "Duplicate name", "%s and %s would both be kept as %q. Keep the directory above them, or rename one.", other, p, name))
		}
		taken[name] = p
		paths = append(paths, p)
	}
	return paths
}

// prompt reads a text for the model.
func (d *decoder) prompt(name string) string {
	text := d.str(name)
	if d.has(name) && text == "" && d.ok() && (name == "prompt") {
		d.fail(at(d.rng(name), "Empty prompt", "%q must not be empty.", name))
	}
	if len(text) > maxPromptBytes {
		d.fail(at(d.rng(name), "Prompt too large", "%q is over %s. Give the agent a file instead: mount it into the sandbox.", name, formatSize(maxPromptBytes)))
	}
	return text
}

// tools reads the list of tools. Skills may bring tools that are not known yet, so any name goes with them.
func (d *decoder) tools(a *plan.Agent) []string {
	tools := d.strs("tools")
	for _, s := range a.Skills {
		if s.Plugin == skillMCP || s.Plugin == skillAgent || !isBuiltInSkill(s.Plugin) {
			return tools
		}
	}
	for _, name := range tools {
		if !toSet(nativeTools)[name] && name != plan.Redacted {
			d.fail(at(d.rng("tools"), "Unknown tool", "There is no tool %q.%s", name, didYouMean(name, append([]string(nil), nativeTools...))))
		}
	}
	return tools
}

func (d *decoder) budget(run *plan.AgentRun) {
	n := d.nested("budget")
	if n == nil {
		return
	}
	if v, ok := n.value("usd", cty.Number); ok && v.IsKnown() {
		usd, _ := v.AsBigFloat().Float64()
		if !(usd > 0 && usd <= 1e9) {
			n.fail(at(n.rng("usd"), "Invalid budget", "\"usd\" must be more than zero and at most a billion. Leave it out for no limit."))
		}
		run.Budget.USD = usd
	}
	run.Budget.Tokens = uint64(n.integer("tokens", 1, maxTokens, 0))
	run.Budget.Time = n.duration("time", time.Duration(0))
	d.absorb(n)
}

// explainInput tells complaints about an attribute of input which stage left it out.
func explainInput(diags hcl.Diagnostics, in stageInput) hcl.Diagnostics {
	if in.stage == "" {
		return diags
	}
	for _, d := range diags {
		if d.Expression == nil || d.Summary != "Unsupported attribute" && d.Summary != sensitiveSummary {
			continue
		}
		for _, t := range d.Expression.Variables() {
			if t.RootName() == "input" {
				d.Detail += fmt.Sprintf(" The input is given by %s, at %s.", in.stage, place(in.place))
				break
			}
		}
	}
	return diags
}
