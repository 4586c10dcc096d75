package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
)

// Bounds of a pipeline.
const (
	maxInstances = 10_000 // of all stages together
	maxAttempts  = 20
)

// pipelineDecl is a pipeline while it is being read.
type pipelineDecl struct {
	l      *loader
	name   string
	stages map[string]*stageDecl
	order  []*stageDecl // as declared, then by dependency
}

// loadPipelines reads the pipelines, and the outputs outside of them.
func (l *loader) loadPipelines(blocks, outputs hcl.Blocks) {
	first := map[string]hcl.Range{}
	var last *pipelineDecl
	for _, b := range blocks {
		if !l.checkLabels(b) {
			continue
		}
		if r, ok := first[b.Labels[0]]; ok {
			l.fail(at(b.DefRange, "Duplicate name", "pipeline.%s is declared already, at %s. Give one of them another name.", b.Labels[0], place(r)))
			continue
		}
		first[b.Labels[0]] = b.DefRange
		last = l.loadPipeline(b)
	}
	if len(outputs) == 0 {
		return
	}
	if len(blocks) != 1 {
		l.fail(at(outputs[0].DefRange, "Output of which pipeline?", "Outside of a pipeline, an output belongs to the only pipeline of the file, and there are %d. Move it into one.", len(blocks)))
		return
	}
	if last != nil {
		p := l.plan.Pipelines[len(l.plan.Pipelines)-1]
		p.Outputs = append(p.Outputs, last.outputs(outputs, p.Outputs)...)
	}
}

func (l *loader) loadPipeline(b *hcl.Block) *pipelineDecl {
	d := l.decode(b, pipelineBlock)
	p := &pipelineDecl{l: l, name: b.Labels[0], stages: map[string]*stageDecl{}}
	out := &plan.Pipeline{Name: p.name, MaxParallel: int(d.integer("max_parallel", 1, maxInstances, 0))}
	l.plan.Pipelines = append(l.plan.Pipelines, out)
	l.report(d.diags)
	if len(d.blocks["stage"]) == 0 && d.ok() {
		l.fail(at(b.DefRange, "Empty pipeline", "A pipeline needs at least one stage."))
	}
	instances := 0
	for _, sb := range d.blocks["stage"] {
		s := p.declareStage(sb)
		if s == nil {
			continue
		}
		instances += len(s.instances)
		if instances > maxInstances {
			l.fail(at(sb.DefRange, "Too many stages", "A pipeline may hold %d stages, each key of a for_each counted.", maxInstances))
			return p
		}
	}
	for _, s := range p.order {
		p.findNeeds(s)
	}
	if !p.sort() {
		return p
	}
	for _, s := range p.order {
		out.Stages = append(out.Stages, p.build(s)...)
	}
	out.Outputs = p.outputs(d.blocks["output"], nil)
	return p
}

// sort orders the stages so that each comes after what it needs, else as declared. It reports a cycle.
func (p *pipelineDecl) sort() bool {
	var sorted, path []*stageDecl
	state := map[*stageDecl]nodeState{}
	var visit func(s *stageDecl) bool
	visit = func(s *stageDecl) bool {
		switch state[s] {
		case resolved:
			return true
		case visiting:
			p.reportCycle(path, s)
			return false
		}
		state[s] = visiting
		path = append(path, s)
		for _, name := range sortedKeys(s.needs) {
			if !visit(p.stages[name]) {
				return false
			}
		}
		path = path[:len(path)-1]
		state[s] = resolved
		sorted = append(sorted, s)
		return true
	}
	for _, s := range p.order {
		if !visit(s) {
			return false
		}
	}
	p.order = sorted
	return true
}

func (p *pipelineDecl) reportCycle(path []*stageDecl, to *stageDecl) {
	from := path[len(path)-1]
	var names []string
	for i, s := range path {
		if s == to {
			for _, member := range path[i:] {
				names = append(names, "stage."+member.name)
			}
			break
		}
	}
	names = append(names, "stage."+to.name)
	p.l.fail(at(from.needs[to.name], "Stages in a cycle", "No stage of these can run first: %s, where each needs the next.", strings.Join(names, " -> ")))
}

// outputs reads output blocks. before are those that exist already.
func (p *pipelineDecl) outputs(blocks hcl.Blocks, before []*plan.Output) []*plan.Output {
	var outs []*plan.Output
	first := map[string]hcl.Range{}
	names := map[string]bool{}
	for _, o := range before {
		names[o.Name] = true
	}
	for _, b := range blocks {
		name := b.Labels[0]
		switch r, dup := first[name]; {
		case !p.l.checkLabels(b):
			continue
		case dup:
			p.l.fail(at(b.DefRange, "Duplicate name", "output.%s is declared already, at %s. Give one of them another name.", name, place(r)))
			continue
		case names[name]:
			p.l.fail(at(b.DefRange, "Duplicate name", "pipeline.%s has an output %q already.", p.name, name))
			continue
		}
		first[name] = b.DefRange
		if o := p.output(b); o != nil {
			outs = append(outs, o)
		}
	}
	return outs
}

func (p *pipelineDecl) output(b *hcl.Block) *plan.Output {
	l := p.l
	d := l.decode(b, outputBlock)
	o := &plan.Output{Name: b.Labels[0], Sensitive: d.flag("sensitive")}
	d.str("description")
	attr := d.content.Attributes["value"]
	l.report(d.diags)
	if attr == nil || !d.ok() {
		return nil
	}
	if _, diags := p.references(attr.Expr, nil); diags.HasErrors() {
		l.report(diags)
		return nil
	}
	evaluate := func(results plan.Results, final bool) (cty.Value, hcl.Diagnostics) {
		v, diags := l.eval(attr.Expr, p.scope(attr.Expr, nil, results, final))
		if v == cty.NilVal {
			return v, diags
		}
		if addrs := origins(v); len(addrs) > 0 && !o.Sensitive {
			return cty.NilVal, append(diags, at(attr.Expr.Range(), "Sensitive value in an output",
				"The output %q is made of %s and would be printed. Leave that out, or mark the output: sensitive = true.", o.Name, strings.Join(addrs, ", ")))
		}
		plain, _ := v.UnmarkDeep()
		return plain, append(diags, checkPlain(plain, attr.Expr.Range())...)
	}
	if _, diags := evaluate(nil, false); diags.HasErrors() {
		l.report(diags)
		return nil
	}
	o.Value = func(results plan.Results) (any, error) {
		v, diags := evaluate(results, true)
		if diags.HasErrors() {
			return nil, l.late(diags)
		}
		out, err := goValue(v)
		if err != nil {
			return nil, l.late(hcl.Diagnostics{at(attr.Expr.Range(), "Value not known", "The output %q: %v.", o.Name, err)})
		}
		return out, nil
	}
	return o
}

// checkPlain refuses references to blocks within a value that leaves the language.
func checkPlain(v cty.Value, r hcl.Range) hcl.Diagnostics {
	var diags hcl.Diagnostics
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if e.Type().IsCapsuleType() {
			diags = append(diags, at(r, "Wrong type", "A reference to a block (%s) is not a value that can be shown.", e.Type().FriendlyName()))
		}
		return len(diags) == 0, nil
	})
	return diags
}
