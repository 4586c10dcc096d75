package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/voidbox-run/voidbox/core/plan"
)

// files evaluates what a stage's sandbox gets of earlier stages. A value is good only if it is the artefacts of a stage that this one
// needs: it may be made of text that a model wrote, which must not choose among the host's directories.
func (p *pipelineDecl) files(s *stageDecl, in *instance, results plan.Results, final bool) ([]plan.Files, hcl.Diagnostics) {
	attr := s.d.content.Attributes["files"]
	if attr == nil {
		return nil, nil
	}
	v, diags := p.l.eval(attr.Expr, p.scope(attr.Expr, in.each, results, final))
	if v == cty.NilVal || diags.HasErrors() {
		return nil, diags
	}
	r := attr.Expr.Range()
	fail := func(summary, detail string, args ...any) ([]plan.Files, hcl.Diagnostics) {
		return nil, append(diags, at(r, summary, detail, args...))
	}
	if addrs := origins(v); len(addrs) > 0 {
		return fail("Sensitive value in files", "The names of files are seen in the sandbox, and these are made of %s.", addrs[0])
	}
	v, err := convert.Convert(v, cty.Map(cty.String))
	switch {
	case err != nil:
		return fail("Wrong type", "\"files\" takes a map of directories of the guest, such as { \"/workspace\" = stage.build.artefacts }.")
	case v.IsNull() || !v.IsKnown():
		return nil, diags
	}
	var files []plan.Files
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		to := key.AsString()
		if diag := checkGuestPath(to, r); diag != nil {
			return nil, append(diags, diag)
		}
		switch {
		case value.IsKnown() && value.IsNull():
			return fail("No artefacts", "What is to be put into %s has no artefacts. Name some in the agent of the stage that it comes from: artefacts = [\"/workspace/out\"].", to)
		case !value.IsKnown():
			continue
		case !isArtefacts(in, results, value.AsString()):
			return fail("Wrong value", "%s gets %.80q, which is the artefacts of no stage. Write stage.NAME.artefacts.", to, value.AsString())
		}
		files = append(files, plan.Files{From: value.AsString(), To: to})
	}
	return files, diags
}

// isArtefacts tells whether a value is the artefacts of a stage that the instance needs.
func isArtefacts(in *instance, results plan.Results, value string) bool {
	return slices.ContainsFunc(sortedKeys(in.needs), func(id string) bool { return value != "" && results[id].Artefacts == value })
}
