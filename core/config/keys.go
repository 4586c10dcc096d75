package config

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/sshagent"
)

// keys reads what a sandbox may sign with, and whom it knows: beside what it says itself, the forges and the hosts of its profiles.
func (d *decoder) keys(s *plan.Sandbox, profiles []*profile) {
	s.SSHAgent = d.flag("ssh_agent")
	known := sshagent.Forges()
	for _, p := range profiles {
		known = append(known, p.knownHosts...)
	}
	s.KnownHosts = d.strs("known_hosts")
	if more, err := sshagent.ParseKnownHosts(s.KnownHosts); err != nil {
		d.fail(at(d.rng("known_hosts"), "Invalid known hosts", "%s.%s", sentence(err), remedyText(err)))
	} else {
		known = append(known, more...)
	}
	first := map[string]hcl.Range{}
	for _, b := range d.blocks["deploy_key"] {
		name := b.Labels[0]
		if r, ok := first[name]; ok {
			d.fail(at(b.LabelRanges[0], "Duplicate name", "There is a deploy key %q already, at %s.", name, place(r)))
			continue
		}
		first[name] = b.LabelRanges[0]
		if d.l.checkLabels(b) {
			s.DeployKeys = append(s.DeployKeys, d.deployKey(b, known))
		}
	}
}

// deployKey reads one key, and looks whether it can be used.
func (d *decoder) deployKey(b *hcl.Block, known sshagent.KnownHosts) plan.DeployKey {
	n := d.l.decode(b, d.spec.nested("deploy_key"))
	n.exposed = d.exposed
	k := plan.DeployKey{Name: b.Labels[0], Path: n.existing("source"), Hosts: n.strs("hosts")}
	if k.Path != "" {
		if _, err := sshagent.ReadKey(k.Path); err != nil {
			n.fail(at(n.rng("source"), "Unusable key", "%s.%s", sentence(err), remedyText(err)))
		}
	}
	if n.has("hosts") && n.ok() && len(k.Hosts) == 0 {
		n.fail(at(n.rng("hosts"), "No hosts", "An empty list would make the key good for nothing. Leave it out to have it sign anything."))
	}
	for _, host := range k.Hosts {
		if err := known.CheckHost(host); err != nil {
			n.fail(at(n.rng("hosts"), "Unknown host", "%s.%s", sentence(err), remedyText(err)))
		}
	}
	d.absorb(n)
	return k
}
