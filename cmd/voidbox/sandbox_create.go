package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

type createFlags struct {
	inputs
	sandboxFlags
	file, block string
}

func (c *cli) sandboxCreateCommand() *cobra.Command {
	var flags createFlags
	cmd := &cobra.Command{
		Use:   "create NAME [-- MAIN [ARG...]]",
		Short: "Make a named sandbox and start it",
		Long: "create makes a sandbox from the sandbox block of a file, or from flags, and starts it. MAIN becomes its main process. The sandbox\n" +
			"stays when this command has ended; a start that fails or is interrupted leaves nothing.",
		Example: "  voidbox sandbox create dev\n" +
			"  voidbox sandbox create dev --cpus 2 --memory 1GiB --mount .:/workspace:rw --network slirp\n" +
			"  voidbox sandbox create dev --file agent.hcl --block box\n" +
			"  voidbox sandbox create web -- /usr/bin/httpd -f",
		Args: func(cmd *cobra.Command, args []string) error {
			if n := len(beforeDash(cmd, args)); n != 1 {
				return failUsage(fmt.Errorf("create needs a name, and takes a main process only after --"), "for example: voidbox sandbox create dev")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := flags.definition(cmd, args[0], args[1:])
			if err != nil {
				return failWith(exitUsage, err)
			}
			return c.create(cmd.Context(), d)
		},
	}
	flags.inputs.flags(cmd)
	flags.sandboxFlags.flags(cmd)
	cmd.Flags().StringVarP(&flags.file, "file", "f", "", "take the sandbox block of this `file`")
	cmd.Flags().StringVar(&flags.block, "block", "", "take the sandbox block of this `name`, where the file has several")
	return cmd
}

// beforeDash returns the arguments in front of --.
func beforeDash(cmd *cobra.Command, args []string) []string {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		return args[:dash]
	}
	return args
}

// definition makes flags into what is kept.
func (f *createFlags) definition(cmd *cobra.Command, name string, mainProcess []string) (d shim.Definition, err error) {
	d = shim.Definition{Name: name, Created: time.Now().UTC()}
	if err := shim.CheckName(name); err != nil {
		return d, err
	}
	if f.file == "" {
		if f.block != "" || len(f.vars)+len(f.varFiles) > 0 {
			return d, errdef.New(errdef.ErrInvalid, "--block, --var and --var-file belong to --file")
		}
		d.Text, d.HostEnv, err = f.text(name, mainProcess)
		return d, err
	}
	given := slices.DeleteFunc(slices.Clone(sandboxFlagNames), func(name string) bool { return !cmd.Flags().Changed(name) })
	if len(given) > 0 || len(mainProcess) > 0 {
		return d, errdef.New(errdef.ErrInvalid, "the file says what the sandbox is like; take out: %s", strings.Join(append(asFlags(given), mainProcess...), " "))
	}
	d.File = &shim.File{Path: hostPath(f.file), Block: f.block, Vars: f.vars}
	for _, file := range f.varFiles {
		path, err := filepath.Abs(file)
		if err != nil {
			return d, err
		}
		d.File.VarFiles = append(d.File.VarFiles, path)
	}
	return d, nil
}

func asFlags(names []string) []string {
	flags := make([]string, len(names))
	for i, name := range names {
		flags[i] = "--" + name
	}
	return flags
}

func (c *cli) create(ctx context.Context, d shim.Definition) error {
	soft, hard, stop := c.interrupts(ctx)
	defer stop()
	store, err := c.store()
	if err != nil {
		return err
	}
	env, err := c.loadDefinition(soft, d, nil)
	if err != nil {
		return err
	}
	defer env.host.Close(hard)
	if d.File != nil {
		d.File.Block = env.sandbox.Name
		d.File.Vars = withoutSecrets(d.File.Vars, env.plan.Secrets)
	}
	claim, err := store.Create(d)
	if err != nil {
		return sandboxFault(err)
	}
	return c.launch(soft, hard, claim, env)
}

// withoutSecrets leaves out variables whose value is a secret: those are given anew at each start.
func withoutSecrets(vars []string, secrets []plan.Secret) []string {
	return slices.DeleteFunc(slices.Clone(vars), func(v string) bool {
		_, value, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(secrets, func(s plan.Secret) bool { return s.Value != "" && strings.Contains(value, s.Value) })
	})
}

// launch starts a claimed sandbox and shows how that goes.
func (c *cli) launch(soft, hard context.Context, claim *shim.Claim, env *environment) error {
	sink, closeView := c.view(false)
	defer closeView()
	spec := *env.sandbox
	spec.Name = claim.Name
	err := claim.Start(soft, hard, shim.Launch{Sandbox: &spec, Secrets: env.plan.Secrets, File: env.file, Verbose: c.verbose, Sink: sink})
	return sandboxFault(err)
}
