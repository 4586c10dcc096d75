package config

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
)

// stageDecl is a stage block while it is being read.
type stageDecl struct {
	name      string
	decl      hcl.Range
	d         *decoder
	each      bool
	instances []*instance
	bare      bool                 // its agent is known, and names no artefacts
	needs     map[string]hcl.Range // stages that it refers to, by name, and where
}

// instance is one stage of a block: the only one, or that of a key.
type instance struct {
	key   string
	each  map[string]cty.Value // each, when the stage has for_each
	needs map[string]bool      // by Stage.ID
}

// stageRef is a reference to a stage: all of it, or one key.
type stageRef struct {
	name  string
	key   *string
	place hcl.Range
}

// declareStage reads a stage's keys. It returns nil with errors.
func (p *pipelineDecl) declareStage(b *hcl.Block) *stageDecl {
	l := p.l
	if !l.checkLabels(b) {
		return nil
	}
	s := &stageDecl{name: b.Labels[0], decl: b.DefRange, needs: map[string]hcl.Range{}}
	if first := p.stages[s.name]; first != nil {
		l.fail(at(b.DefRange, "Duplicate name", "stage.%s is declared already, at %s. Give one of them another name.", s.name, place(first.decl)))
		return nil
	}
	s.d = l.decode(b, pipelineBlock.nested("stage"))
	p.stages[s.name] = s
	p.order = append(p.order, s)
	if s.d.has("for_each") {
		s.each = true
		s.readKeys()
		return s
	}
	s.instances = []*instance{{needs: map[string]bool{}}}
	return s
}

// readKeys evaluates for_each, which must not depend on the run.
func (s *stageDecl) readKeys() {
	expr := s.d.content.Attributes["for_each"].Expr
	for _, t := range expr.Variables() {
		if t.RootName() == "stage" {
			s.d.fail(at(t.SourceRange(), "for_each is not known before the run", "The keys of a stage must be known before anything runs, and results of stages are not. Make the keys from variables or locals."))
			return
		}
	}
	v, diags := s.d.l.eval(expr, nil)
	s.d.diags = append(s.d.diags, diags...)
	if v == cty.NilVal {
		s.d.gaveUp = true
		return
	}
	if addrs := origins(v); len(addrs) > 0 {
		s.d.fail(at(expr.Range(), "Sensitive for_each", "The keys of a stage are shown everywhere, and these are made of %s.", addrs[0]))
		return
	}
	ty := v.Type()
	switch {
	case v.IsNull():
		s.d.fail(at(expr.Range(), "Missing value", "\"for_each\" must not be null."))
	case !v.IsWhollyKnown():
		s.d.fail(at(expr.Range(), "for_each is not known before the run", "The keys of a stage must be known before anything runs."))
	case ty.IsTupleType() || ty.IsListType():
		s.d.fail(at(expr.Range(), "Wrong type", "\"for_each\" takes a set of strings, a map or an object, and this is a list. Write toset(...) around it."))
	case !ty.IsSetType() && !ty.IsMapType() && !ty.IsObjectType() || ty.IsSetType() && ty.ElementType() != cty.String && v.LengthInt() > 0:
		s.d.fail(at(expr.Range(), "Wrong type", "\"for_each\" takes a set of strings, a map or an object, not %s.", ty.FriendlyName()))
	case v.LengthInt() > maxInstances:
		s.d.fail(at(expr.Range(), "Too many stages", "\"for_each\" has %d keys; %d is the limit.", v.LengthInt(), maxInstances))
	default:
		s.addInstances(v, expr.Range())
	}
}

func (s *stageDecl) addInstances(v cty.Value, r hcl.Range) {
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if v.Type().IsSetType() {
			key = value
		}
		if key.IsNull() {
			s.d.fail(at(r, "Missing value", "\"for_each\" must not hold null."))
			return
		}
		s.instances = append(s.instances, &instance{
			key:   key.AsString(),
			each:  map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})},
			needs: map[string]bool{},
		})
	}
}

// findNeeds collects what the instances of a stage refer to.
func (p *pipelineDecl) findNeeds(s *stageDecl) {
	for _, name := range []string{"input", "files", "agent"} {
		attr := s.d.content.Attributes[name]
		if attr == nil {
			continue
		}
		for _, in := range s.instances {
			refs, diags := p.references(attr.Expr, in.each)
			s.d.diags = append(s.d.diags, diags...)
			p.addNeeds(s, in, refs)
			if diags.HasErrors() {
				break
			}
		}
	}
	if attr := s.d.content.Attributes["depends_on"]; attr != nil {
		refs, diags := p.dependsOn(attr.Expr)
		s.d.diags = append(s.d.diags, diags...)
		for _, in := range s.instances {
			p.addNeeds(s, in, refs)
		}
	}
}

func (p *pipelineDecl) addNeeds(s *stageDecl, in *instance, refs []stageRef) {
	for _, ref := range refs {
		if _, ok := s.needs[ref.name]; !ok {
			s.needs[ref.name] = ref.place
		}
		of := p.stages[ref.name]
		for _, other := range of.instances {
			if ref.key == nil || *ref.key == other.key {
				in.needs[(&plan.Stage{Name: of.name, Key: other.key, Each: of.each}).ID()] = true
			}
		}
	}
}

// dependsOn reads a list of references to stages.
func (p *pipelineDecl) dependsOn(expr hcl.Expression) ([]stageRef, hcl.Diagnostics) {
	list, diags := hcl.ExprList(expr)
	if diags.HasErrors() {
		return nil, hcl.Diagnostics{at(expr.Range(), "Wrong type", "\"depends_on\" is a list of stages, such as [stage.first].")}
	}
	var refs []stageRef
	for _, e := range list {
		t, diags := hcl.AbsTraversalForExpr(e)
		if diags.HasErrors() || t.RootName() != "stage" {
			return nil, hcl.Diagnostics{at(e.Range(), "Wrong type", "\"depends_on\" is a list of stages, such as [stage.first].")}
		}
		ref, diag := p.reference(t)
		if diag != nil {
			return nil, hcl.Diagnostics{diag}
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// references lists the stages that an expression refers to. A reference to one key, such as stage.fetch[each.key], needs only
// that one.
func (p *pipelineDecl) references(expr hcl.Expression, each map[string]cty.Value) ([]stageRef, hcl.Diagnostics) {
	var refs []stageRef
	var diags hcl.Diagnostics
	byKey := p.keyedReferences(expr, each)
	for _, t := range expr.Variables() {
		if t.RootName() != "stage" {
			continue
		}
		ref, diag := p.reference(t)
		if diag != nil {
			diags = append(diags, diag)
			continue
		}
		if key, ok := byKey[t.SourceRange()]; ok {
			ref.key = &key
		}
		refs = append(refs, ref)
	}
	return refs, diags
}

// keyedReferences finds stage.name[key] where the key is an expression that can be evaluated now, by the range of stage.name.
func (p *pipelineDecl) keyedReferences(expr hcl.Expression, each map[string]cty.Value) map[hcl.Range]string {
	native, ok := expr.(hclsyntax.Expression)
	if !ok {
		return nil
	}
	found := map[hcl.Range]string{}
	_ = hclsyntax.VisitAll(native, func(n hclsyntax.Node) hcl.Diagnostics {
		index, ok := n.(*hclsyntax.IndexExpr)
		if !ok {
			return nil
		}
		of, ok := index.Collection.(*hclsyntax.ScopeTraversalExpr)
		if !ok || of.Traversal.RootName() != "stage" || !onlyEach(index.Key) {
			return nil
		}
		key, diags := index.Key.Value(&hcl.EvalContext{Variables: each})
		if !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && !key.IsNull() && !key.IsMarked() {
			found[of.Traversal.SourceRange()] = key.AsString()
		}
		return nil
	})
	return found
}

func onlyEach(expr hcl.Expression) bool {
	for _, t := range expr.Variables() {
		if t.RootName() != "each" {
			return false
		}
	}
	return true
}

// reference reads stage.name or stage.name["key"].
func (p *pipelineDecl) reference(t hcl.Traversal) (stageRef, *hcl.Diagnostic) {
	name := ""
	if len(t) > 1 {
		name = stepName(t[1])
	}
	if name == "" {
		return stageRef{}, at(t.SourceRange(), "Incomplete reference", "\"stage\" must be followed by the name of a stage, after a dot.")
	}
	s := p.stages[name]
	if s == nil {
		names := sortedKeys(p.stages)
		return stageRef{}, at(t.SourceRange(), "Unknown reference", "pipeline.%s has no stage.%s.%s", p.name, name, didYouMeanBelow("stage", name, names))
	}
	ref := stageRef{name: name, place: t.SourceRange()}
	if len(t) > 2 && s.each {
		if _, isIndex := t[2].(hcl.TraverseIndex); isIndex {
			if key := stepName(t[2]); key != "" {
				ref.key = &key
			}
		}
	}
	return ref, nil
}

// scope holds what a stage's or output's expression can use besides nodes: the stages that it refers to, and each. Without
// final, results are unknown.
func (p *pipelineDecl) scope(expr hcl.Expression, each map[string]cty.Value, results plan.Results, final bool) map[string]cty.Value {
	local := map[string]cty.Value{}
	for name, v := range each {
		local[name] = v
	}
	stages := map[string]cty.Value{}
	for _, t := range expr.Variables() {
		if t.RootName() == "stage" && len(t) > 1 {
			if s := p.stages[stepName(t[1])]; s != nil && stages[s.name] == cty.NilVal {
				stages[s.name] = s.value(results, final)
			}
		}
	}
	local["stage"] = cty.ObjectVal(stages)
	return local
}

// value is what expressions see of a stage: its result, or a map of results by key. A key without result is unknown.
func (s *stageDecl) value(results plan.Results, final bool) cty.Value {
	one := func(key string) cty.Value {
		r, ok := results[(&plan.Stage{Name: s.name, Key: key, Each: s.each}).ID()]
		if !final || !ok {
			return unknownResult(s.bare)
		}
		return resultValue(r)
	}
	if !s.each {
		return one("")
	}
	if len(s.instances) == 0 {
		return cty.MapValEmpty(resultType)
	}
	all := map[string]cty.Value{}
	for _, in := range s.instances {
		all[in.key] = one(in.key)
	}
	return cty.MapVal(all)
}

// build checks a stage and makes its plan, one for each instance.
func (p *pipelineDecl) build(s *stageDecl) []*plan.Stage {
	retry, timeout := s.retry(), s.d.duration("timeout", 0)
	var stages []*plan.Stage
	for _, in := range s.instances {
		if !s.d.ok() {
			break
		}
		if st := p.instantiate(s, in); st != nil {
			st.Retry, st.Timeout = retry, timeout
			stages = append(stages, st)
		}
	}
	p.l.report(s.d.diags)
	return stages
}

func (s *stageDecl) retry() plan.Retry {
	n := s.d.nested("retry")
	if n == nil {
		return plan.Retry{}
	}
	defer s.d.absorb(n)
	return plan.Retry{Attempts: int(n.integer("attempts", 1, maxAttempts, 1)), Backoff: n.duration("backoff", time.Duration(0))}
}

// instantiate checks one instance over unknown results, and returns nil with errors.
func (p *pipelineDecl) instantiate(s *stageDecl, in *instance) *plan.Stage {
	s.d.local = in.each
	v, ok := s.d.value("agent", agentType)
	if !ok || !v.IsKnown() {
		return nil
	}
	a := v.EncapsulatedValue().(*agentDecl)
	s.bare = !a.keeps
	bind := func(results plan.Results, final bool) (*plan.AgentRun, hcl.Diagnostics) {
		input, diags := p.input(s, in, a, results, final)
		if diags.HasErrors() || input.value == cty.NilVal && a.plan.NeedsInput {
			return nil, diags
		}
		run, bindDiags := p.l.instantiate(a, input, final)
		diags = append(diags, bindDiags...)
		if run != nil && !diags.HasErrors() {
			var filesDiags hcl.Diagnostics
			run.Files, filesDiags = p.files(s, in, results, final)
			diags = append(diags, filesDiags...)
		}
		return run, diags
	}
	if _, diags := bind(nil, false); diags.HasErrors() {
		s.d.diags = append(s.d.diags, diags...)
		return nil
	}
	return &plan.Stage{
		Name: s.name, Key: in.key, Each: s.each, Needs: sortedKeys(in.needs), Agent: a.plan,
		Bind: func(results plan.Results) (*plan.AgentRun, error) {
			run, diags := bind(results, true)
			if diags.HasErrors() {
				return nil, p.l.late(diags)
			}
			return run, nil
		},
	}
}

// input evaluates what a stage gives its agent.
func (p *pipelineDecl) input(s *stageDecl, in *instance, a *agentDecl, results plan.Results, final bool) (stageInput, hcl.Diagnostics) {
	attr := s.d.content.Attributes["input"]
	if attr == nil {
		if !a.plan.NeedsInput {
			return stageInput{}, nil
		}
		return stageInput{}, hcl.Diagnostics{at(s.decl, "Stage without input", "agent.%s uses its input, at %s, and stage.%s gives none. Add: input = { ... }.", a.plan.Name, place(a.uses[0].SourceRange()), s.name)}
	}
	v, diags := p.l.eval(attr.Expr, p.scope(attr.Expr, in.each, results, final))
	if v == cty.NilVal && !final {
		s.d.gaveUp = true
	}
	return stageInput{value: v, stage: "stage." + s.name, place: attr.Expr.Range()}, diags
}
