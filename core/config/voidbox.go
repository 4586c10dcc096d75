package config

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// Requirements reads only the voidbox block of a configuration: the plugins that it asks for. A plugin host needs them before
// it can describe plugins, which Load needs.
func Requirements(path string) ([]plan.Requirement, Diagnostics) {
	files := newFileSet(path)
	if diags := files.load(); diags.HasErrors() {
		return nil, newDiagnostics(diags, files, nil)
	}
	l := newLoader(context.Background(), Options{}, files)
	content, _, diags := hcl.MergeFiles(files.configs).PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: voidboxBlock.Type}}})
	l.report(diags)
	l.loadVoidbox(content.Blocks)
	return l.plan.Plugins, newDiagnostics(l.diags, files, nil)
}

// loadVoidbox reads the voidbox blocks. Nothing is declared yet, so they cannot refer to anything.
func (l *loader) loadVoidbox(blocks hcl.Blocks) {
	for i, b := range blocks {
		if i > 0 {
			l.fail(at(b.DefRange, "Too many blocks", "There may be 1 \"voidbox\" block; the first is at %s.", place(blocks[0].DefRange)))
			return
		}
		d := l.decode(b, voidboxBlock)
		if refs := d.references(); len(refs) > 0 {
			l.fail(at(refs[0].SourceRange(), "Reference out of place", "The voidbox block is read before everything else and cannot refer to anything."))
			return
		}
		l.checkVersion(d)
		if required := d.nested("required_plugins"); required != nil {
			l.loadRequirements(required)
			d.absorb(required)
		}
		l.loadOverrides(d)
		l.report(d.diags)
	}
}

func (l *loader) checkVersion(d *decoder) {
	want := d.str("required_version")
	if want == "" {
		return
	}
	constraint, err := version.NewConstraint(want)
	if err != nil {
		d.fail(at(d.rng("required_version"), "Invalid version constraint", "%q is not a version constraint. Write for example \">= 1.2, < 2\".", want))
		return
	}
	have, err := version.NewVersion(l.opt.Version)
	if err != nil {
		return // a development build, or nobody wants to know
	}
	if !constraint.Check(have.Core()) {
		d.fail(at(d.rng("required_version"), "Unsupported version of voidbox", "The file asks for voidbox %s; this is %s.", want, have))
	}
}

func (l *loader) loadRequirements(d *decoder) {
	first := map[string]hcl.Range{}
	for _, b := range d.content.Blocks {
		key := b.Type + "-" + b.Labels[0]
		if r, ok := first[key]; ok {
			d.fail(at(b.DefRange, "Duplicate name", "%s %q is required already, at %s.", b.Type, b.Labels[0], place(r)))
			continue
		}
		first[key] = b.DefRange
		n := l.decode(b, d.spec.nested(b.Type))
		req := plan.Requirement{Kind: b.Type, Name: b.Labels[0], Version: n.str("version"), SHA256: strings.ToLower(n.str("sha256")), Source: n.existing("source")}
		if _, err := version.NewConstraint(req.Version); req.Version != "" && err != nil {
			n.fail(at(n.rng("version"), "Invalid version constraint", "%q is not a version constraint. Write for example \">= 1.2, < 2\".", req.Version))
		}
		if sum, err := hex.DecodeString(req.SHA256); req.SHA256 != "" && (err != nil || len(sum) != 32) {
			n.fail(at(n.rng("sha256"), "Invalid hash", "A sha256 is 64 hexadecimal digits. `sha256sum FILE` prints it."))
		}
		d.absorb(n)
		l.plan.Plugins = append(l.plan.Plugins, req)
	}
}

// loadOverrides turns dev_overrides into requirements.
func (l *loader) loadOverrides(d *decoder) {
	overrides := d.strMap("dev_overrides")
	for _, key := range sortedKeys(overrides) {
		kind, name, ok := strings.Cut(key, "-")
		if !ok || !knownKind(kind) || name == "" {
			var kinds []string
			for _, k := range base.Kinds {
				kinds = append(kinds, string(k)+"-NAME")
			}
			d.fail(at(d.rng("dev_overrides"), "Invalid name of a plugin", "%q does not name a plugin. Write one of %s.", key, strings.Join(kinds, ", ")))
			continue
		}
		l.plan.Plugins = append(l.plan.Plugins, plan.Requirement{Kind: kind, Name: name, Source: l.path(overrides[key]), Dev: true})
	}
}

func knownKind(kind string) bool {
	for _, k := range base.Kinds {
		if string(k) == kind {
			return true
		}
	}
	return false
}
