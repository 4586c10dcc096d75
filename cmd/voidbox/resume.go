package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/run"
)

func (c *cli) resumeCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "resume RUN [FILE|DIR]",
		Short: "Go on with a run that failed, was cancelled or was killed",
		Long: "resume runs a file again, and uses what the stages that succeeded in an earlier run have made: those whose prompt, model, tools, skills,\n" +
			"sandbox and files are what they were, and that need no stage that has to run again. It is a run of its own, with a directory of its own;\n" +
			"what it counts is what it spends itself.\n\n" +
			"RUN is what `voidbox ps --all` lists, or a run directory. The file and its --var are those of that run; a --var given here is stronger.\n" +
			"Values of sensitive variables are kept nowhere, and are given again.",
		Example: "  voidbox ps --all\n  voidbox resume 20260102-030405-1a2b3c4d\n  voidbox resume 20260102-030405-1a2b3c4d --var limit=10m",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return failUsage(errors.New("resume needs a run, and perhaps a file"), "`voidbox ps --all` lists the runs")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.resume(cmd.Context(), args, &flags) },
	}
	flags.flags(cmd)
	return cmd
}

func (c *cli) resume(ctx context.Context, args []string, flags *runFlags) error {
	dir, err := runDir(args[0])
	if err != nil {
		return err
	}
	past, err := observe.OpenPast(dir)
	if err != nil {
		return failWith(exitUsage, err)
	}
	file := past.Source.File
	if len(args) > 1 {
		file = args[1]
	}
	if file == "" {
		return failUsage(errors.New("the run "+past.Run+" does not say which file it was of"), "name the file: voidbox resume %s FILE", args[0])
	}
	flags.resume, flags.target = dir, past.Target
	flags.vars = append(slices.Clone(past.Source.Vars), flags.vars...)
	flags.varFiles = append(slices.Clone(past.Source.VarFiles), flags.varFiles...)
	return c.run(ctx, file, flags)
}

// source is how the file can be loaded again. Sensitive values are left out.
func (f *runFlags) source(file string, p *plan.Plan) observe.Source {
	s := observe.Source{}
	for _, v := range f.vars {
		name, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(p.Secrets, func(s plan.Secret) bool { return s.Name == "var."+name }) {
			s.Vars = append(s.Vars, v)
		}
	}
	absolute := func(path string) string {
		if abs, err := filepath.Abs(path); err == nil {
			return abs
		}
		return path
	}
	s.File = absolute(file)
	for _, path := range f.varFiles {
		s.VarFiles = append(s.VarFiles, absolute(path))
	}
	return s
}

// runName is what other commands take for a run: its ID where its directory is among the others, else the directory.
func (c *cli) runName(r run.Result) string {
	if base, err := observe.DefaultDir(); err == nil && r.Dir == filepath.Join(base, r.Run) {
		return r.Run
	}
	return r.Dir
}
