package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// environment is a sandbox as it is to be started. Its owner closes it.
type environment struct {
	*project
	sandbox *plan.Sandbox
	file    string // the configuration that binds its plugins; empty for flags
}

// loadDefinition reads what a definition says today.
func (c *cli) loadDefinition(ctx context.Context, d shim.Definition, more *inputs) (*environment, error) {
	if d.File != nil {
		return c.loadBlock(ctx, *d.File, more)
	}
	vars, err := hostVars(d.HostEnv)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	return c.loadText(ctx, d.Text, vars)
}

// loadBlock reads a sandbox block of a file. The values of more come after those of the definition, and win.
func (c *cli) loadBlock(ctx context.Context, f shim.File, more *inputs) (*environment, error) {
	in := inputs{vars: slices.Clone(f.Vars), varFiles: slices.Clone(f.VarFiles)}
	if more != nil {
		in.vars, in.varFiles = append(in.vars, more.vars...), append(in.varFiles, more.varFiles...)
	}
	p, err := c.load(ctx, f.Path, &in, true)
	if err != nil {
		return nil, err
	}
	box, err := pickSandbox(p.plan, f.Block)
	if err != nil {
		p.host.Close(ctx)
		return nil, failWith(exitUsage, err)
	}
	return &environment{project: p, sandbox: box, file: f.Path}, nil
}

// pickSandbox finds a sandbox block; an empty name means the only one.
func pickSandbox(p *plan.Plan, name string) (*plan.Sandbox, error) {
	var names []string
	for _, s := range p.Sandboxes {
		if s.Name == name || name == "" && len(p.Sandboxes) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	switch {
	case len(names) == 0:
		return nil, errdef.New(errdef.ErrInvalid, "the file has no sandbox block")
	case name == "":
		return nil, errdef.New(errdef.ErrInvalid, "the file has more than one sandbox block").WithRemedy("choose with --block: %s", strings.Join(names, ", "))
	}
	return nil, errdef.New(errdef.ErrNotFound, "there is no sandbox block %q", name).WithRemedy("there are: %s", strings.Join(names, ", "))
}

// loadText reads a configuration that flags were made into. What is wrong with it is said without a place, which nobody wrote.
func (c *cli) loadText(ctx context.Context, text string, vars []string) (*environment, error) {
	dir, err := os.MkdirTemp("", "voidbox-flags-")
	if err != nil {
		return nil, asMachineFault(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "flags.hcl.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, asMachineFault(err)
	}
	host, err := c.pluginHost()
	if err != nil {
		return nil, asMachineFault(err)
	}
	values, err := parseVars(vars)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	p, _, diags := config.Load(ctx, path, config.Options{Vars: values, Describe: c.describe(host)})
	if diags.HasErrors() {
		host.Close(ctx)
		return nil, failWith(c.blame(diags), flagFaults(diags))
	}
	return &environment{project: &project{plan: p, host: host}, sandbox: p.Sandboxes[0]}, nil
}

// flagFaults are what is wrong with flags, in words.
func flagFaults(diags config.Diagnostics) error {
	var faults []error
	for _, d := range diags {
		if d.Severity == config.SeverityError {
			faults = append(faults, errors.New(strings.TrimSuffix(d.Summary+": "+d.Detail, ".")))
		}
	}
	return errors.Join(faults...)
}
