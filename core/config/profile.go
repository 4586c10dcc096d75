package config

import (
	"maps"
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
)

// profile is what several sandboxes have in common. It is merged into each, so that nothing of it is left in the plan.
type profile struct {
	packages   []string
	env        map[string]string
	exposed    []string
	knownHosts []string
	deployKeys []plan.DeployKey
	mounts     []profileMount
}

// profileMount is a mount whose place may depend on the sandbox's user.
type profileMount struct {
	plan.Mount
	label string
}

// evalProfile reads a profile block.
func (l *loader) evalProfile(b *hcl.Block) (cty.Value, hcl.Diagnostics) {
	d := l.decode(b, profileBlock)
	p := &profile{exposed: d.exposedAddrs()}
	d.exposed = toSet(p.exposed)
	p.packages, p.env = d.packages(), d.env()
	// Keys and mounts are read as a sandbox's; which sandbox, only the merge will know.
	var s plan.Sandbox
	d.keys(&s, nil)
	d.mounts(&s)
	p.knownHosts, p.deployKeys = s.KnownHosts, s.DeployKeys
	if !d.ok() {
		return cty.NilVal, d.diags
	}
	for i, m := range s.Mounts {
		p.mounts = append(p.mounts, profileMount{m, d.blocks["mount"][i].Labels[0]})
	}
	return cty.CapsuleVal(profileType, p), d.diags
}

// profiles are those that a sandbox is made of.
func (d *decoder) profiles() (list []*profile) {
	v, ok := d.value("profiles", cty.List(profileType))
	if !ok || !v.IsKnown() {
		return nil
	}
	for _, e := range v.AsValueSlice() {
		if e.IsNull() {
			d.fail(at(d.rng("profiles"), "Missing value", "%q must not hold null.", "profiles"))
			return nil
		}
		list = append(list, e.EncapsulatedValue().(*profile))
	}
	return list
}

// debianPackage is Debian policy, section 5.6.1.
var debianPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// packages reads a list of Debian packages.
func (d *decoder) packages() []string {
	names := d.strs("packages")
	for _, name := range names {
		if !debianPackage.MatchString(name) && name != plan.Redacted {
			d.fail(at(d.rng("packages"), "Invalid package", "%q is not the name of a Debian package: lower-case letters, digits, \"+\", \"-\" and \".\".", name))
		}
	}
	return names
}

// merge puts profiles below a sandbox: lists are joined, and of two things of one name the later wins, the sandbox's own above all.
func (d *decoder) merge(s *plan.Sandbox, profiles []*profile) {
	slices.Sort(s.Packages)
	s.Packages = slices.Compact(s.Packages)
	if len(profiles) == 0 || !d.ok() {
		return
	}
	env := map[string]string{}
	var known, exposed []string
	var keys []plan.DeployKey
	var mounts []plan.Mount
	for _, p := range profiles {
		maps.Copy(env, p.env)
		known, exposed = append(known, p.knownHosts...), append(exposed, p.exposed...)
		keys = over(keys, p.deployKeys, func(k plan.DeployKey) string { return k.Name })
		placed := make([]plan.Mount, len(p.mounts))
		for i, m := range p.mounts {
			target, diag := mountTarget(m.label, s.User, d.rng("profiles"))
			if diag != nil {
				d.fail(diag)
				return
			}
			placed[i] = m.Mount
			placed[i].Target = target
		}
		mounts = over(mounts, placed, func(m plan.Mount) string { return m.Target })
	}
	maps.Copy(env, s.Env)
	if len(env) > 0 {
		s.Env = env
	}
	s.KnownHosts = append(known, s.KnownHosts...)
	for _, addr := range exposed {
		if !slices.Contains(s.Exposed, addr) {
			s.Exposed = append(s.Exposed, addr)
		}
	}
	s.DeployKeys = over(keys, s.DeployKeys, func(k plan.DeployKey) string { return k.Name })
	s.Mounts = over(mounts, s.Mounts, func(m plan.Mount) string { return m.Target })
}

// over puts a list above another: what has the same name takes the other's place, the rest follows.
func over[T any](below, above []T, name func(T) string) []T {
	out := slices.Clone(below)
	for _, a := range above {
		if i := slices.IndexFunc(out, func(b T) bool { return name(b) == name(a) }); i >= 0 {
			out[i] = a
			continue
		}
		out = append(out, a)
	}
	return out
}
