package config

import (
	"context"
	"os"

	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// Options says what a file is loaded with.
type Options struct {
	// Vars sets variables by name. A value is taken literally for variables of type string, else as an expression.
	Vars map[string]string
	// VarFiles are files of `name = value` lines. Later files win, and Vars wins over all of them.
	VarFiles []string
	// LookupEnv finds the values of secrets. Nil means os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Command runs a program in a directory and returns what it prints, for secrets that come from one. Nil means that it is run;
	// tests that read whatever files have another.
	Command func(ctx context.Context, dir string, command []string) (string, error)
	// SecretsOptional makes a missing secret an unknown sensitive value instead of an error. The plan is then good for
	// looking at, not for running.
	SecretsOptional bool
	// Version of voidbox, against which required_version is checked. Empty means no check.
	Version string
	// Describe returns the description of a plugin. It may be called concurrently. Nil means that blocks of plugins are only
	// checked for syntax.
	Describe func(ctx context.Context, kind base.Kind, name string) (base.Description, error)
}

// Source is what was loaded.
type Source struct {
	Path  string            // as given
	Dir   string            // absolute; relative paths start here
	Files map[string][]byte // by the name that diagnostics use
}

// Load reads a file (.hcl or .hcl.json) or all such files of a directory and returns their plan. With errors among the
// diagnostics the plan is nil. Source is never nil.
func Load(ctx context.Context, path string, opt Options) (*plan.Plan, *Source, Diagnostics) {
	if opt.Command == nil {
		opt.Command = commandSecret
	}
	if opt.LookupEnv == nil {
		opt.LookupEnv = os.LookupEnv
	}
	files := newFileSet(path)
	diags := files.load()
	if diags.HasErrors() {
		return nil, files.source(), newDiagnostics(diags, files, nil)
	}
	l := newLoader(ctx, opt, files)
	defer l.describer.wait()
	l.load(hcl.MergeFiles(files.configs))
	diags = append(diags, l.diags...)
	out := newDiagnostics(diags, files, l.plan.Secrets)
	if out.HasErrors() {
		return nil, files.source(), out
	}
	return l.plan, files.source(), out
}
