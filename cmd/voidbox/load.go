package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/version"
)

// inputs are the flags that say what a file is loaded with.
type inputs struct {
	vars     []string
	varFiles []string
}

func (in *inputs) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&in.vars, "var", nil, "set a variable, `name=value`; repeatable")
	cmd.Flags().StringArrayVar(&in.varFiles, "var-file", nil, "set variables from a `file` of name = value lines; repeatable")
}

func (in *inputs) options() (config.Options, error) {
	vars, err := parseVars(in.vars)
	return config.Options{Vars: vars, VarFiles: in.varFiles, Version: version.String()}, err
}

// project is a loaded file with the plugin host that checked its blocks.
type project struct {
	plan *plan.Plan
	host *pluginhost.Host
}

// load reads path. The caller closes the host. What the file does wrong is shown already when the error says so.
func (c *cli) load(ctx context.Context, path string, in *inputs, forRun bool) (*project, error) {
	opt, err := in.options()
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	opt.SecretsOptional = !forRun
	host, diags, err := c.hostFor(path)
	if err != nil {
		return nil, asMachineFault(err)
	}
	if diags.HasErrors() {
		return nil, c.showDiagnostics(diags)
	}
	opt.Describe = c.describe(host)
	p, _, diags := config.Load(ctx, path, opt)
	if diags.HasErrors() {
		host.Close(ctx)
		return nil, c.showDiagnostics(diags)
	}
	if len(diags) > 0 {
		_ = c.showDiagnostics(diags)
	}
	return &project{plan: p, host: host}, nil
}

// showDiagnostics writes findings to standard error and returns the error that ends the command.
func (c *cli) showDiagnostics(diags config.Diagnostics) error {
	if err := diags.WriteText(c.stderr, c.width(), c.colour(c.stderr)); err != nil {
		return failWith(exitUsage, err)
	}
	return failShown(c.blame(diags))
}

// blame tells whether a file is wrong or this machine: a file whose only fault is a plugin that is not installed here may be right.
func (c *cli) blame(diags config.Diagnostics) int {
	if c.refused.Load() {
		return exitUsage
	}
	for _, d := range diags {
		if d.Severity == "error" && d.Summary != "Plugin not usable" {
			return exitUsage
		}
	}
	return exitMachine
}

// parseVars splits name=value.
func parseVars(args []string) (map[string]string, error) {
	vars := make(map[string]string, len(args))
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--var %q: want name=value", arg)
		}
		vars[name] = value
	}
	return vars, nil
}
