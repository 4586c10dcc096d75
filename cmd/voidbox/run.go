package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/cmd/voidbox/internal/view"
	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/version"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

type runFlags struct {
	inputs
	target    string
	json      bool
	keep      bool
	talk      bool
	runDir    string
	resume    string // directory of the run to go on with
	record    string
	pcap      string
	pcapLimit string
}

func (c *cli) runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run FILE|DIR",
		Short: "Run a file's pipeline, agent or sandbox",
		Long: "run executes a file, or a directory of files: its only pipeline, else its only agent, else the main process of its only\n" +
			"sandbox. --target chooses where there are several.\n\n" +
			"The result goes to standard output, what happens on the way to standard error. Ctrl-C cancels and cleans up; a second\n" +
			"Ctrl-C kills at once.",
		Example: "  voidbox run examples/hello.hcl\n" +
			"  voidbox run --var backend=mock examples/hello.hcl\n" +
			"  voidbox run --json examples/hello.hcl | jq -r 'select(.type == \"tool_call\").data.tool'",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0], &flags) },
	}
	flags.flags(cmd)
	cmd.Flags().StringVar(&flags.target, "target", "", "run the block `KIND.NAME`: a pipeline, an agent or a sandbox")
	return cmd
}

func (flags *runFlags) flags(cmd *cobra.Command) {
	flags.inputs.flags(cmd)
	cmd.Flags().BoolVar(&flags.json, "json", false, "print one event a line to standard output")
	cmd.Flags().BoolVarP(&flags.talk, "interactive", "i", false, "talk to the agent: its own command line gets this terminal")
	cmd.Flags().BoolVar(&flags.keep, "keep", false, "keep sandboxes alive after the run, until Ctrl-C")
	cmd.Flags().StringVar(&flags.runDir, "run-dir", "", "write events and result to this `directory`, not to one under $XDG_STATE_HOME/voidbox/runs")
	cmd.Flags().StringVar(&flags.record, "record", "", "record what the models say into this `file`, which the plugin llm-replay plays")
	cmd.Flags().StringVar(&flags.pcap, "pcap", "", "capture the packets of the guest into this `file`; where a run has several stages, one file each")
	cmd.Flags().StringVar(&flags.pcapLimit, "pcap-limit", "64MiB", "end a capture at this `size`")
}

func (c *cli) run(ctx context.Context, path string, flags *runFlags) error {
	soft, hard, stop := c.interrupts(ctx)
	defer stop()
	capture, err := flags.capture()
	if err != nil {
		return err
	}
	project, err := c.load(soft, path, &flags.inputs, true)
	if err != nil {
		return err
	}
	defer project.host.Close(hard)
	sink, closeView := c.view(flags.json)
	defer closeView()
	r, err := run.New(run.Config{
		Plan: project.plan, Target: flags.target, Host: run.Plugins(project.host), Sinks: []event.Sink{sink},
		RunDir: flags.runDir, Keep: flags.keep, Version: version.String(), Hard: hard,
		ControlDir: project.host.RuntimeDir(), Capture: capture, Record: flags.record,
		Terminal: c.terminal(sink, flags.json), Interactive: flags.talk, Resume: flags.resume, Source: flags.source(path, project.plan),
	})
	if err != nil {
		return failWith(run.ExitCode(err), err)
	}
	result, err := r.Run(soft)
	closeView()
	if result.Run == "" {
		return failWith(run.ExitCode(err), err) // it never began
	}
	if result.Status == event.Succeeded && !flags.json {
		c.printResult(result)
	}
	if err != nil && (flags.json || result.Status == event.Succeeded) {
		c.showError(err) // no view has shown it
	}
	if result.Dir != "" && (err != nil || !flags.json) {
		fmt.Fprintln(c.stderr, "  details: "+result.Dir)
	}
	if err != nil && len(result.Stages) > 1 && result.Dir != "" {
		fmt.Fprintln(c.stderr, "  go on:   voidbox resume "+c.runName(result))
	}
	if err != nil {
		return failShown(run.ExitCode(err))
	}
	return nil
}

// leastCapture holds a pcap file's header and a packet.
const leastCapture = 4 << 10

func (f *runFlags) capture() (run.Capture, error) {
	limit, err := config.ParseSize(f.pcapLimit)
	if err == nil && limit < leastCapture {
		err = fmt.Errorf("a capture of %s holds no packets", f.pcapLimit)
	}
	if err != nil {
		return run.Capture{}, failUsage(err, "--pcap-limit takes a size such as 64MiB")
	}
	return run.Capture{Path: f.pcap, MaxBytes: limit}, nil
}

// printResult writes what the run was for to standard output: the outputs of a pipeline, else the text of its last stage. A view
// has shown that text already when both go to one terminal.
func (c *cli) printResult(result run.Result) {
	for _, name := range sortedKeys(result.Outputs) {
		fmt.Fprintf(c.stdout, "%s = %s\n", name, view.Value(result.Outputs[name]))
	}
	sameTerminal := isTTY(c.stdout) && isTTY(c.stderr)
	if len(result.Outputs) == 0 && result.Output != "" && !sameTerminal {
		fmt.Fprintln(c.stdout, result.Output)
	}
}

// view returns the sink for this terminal or pipe, and what takes it down; taking it down twice is harmless.
func (c *cli) view(asJSON bool) (event.Sink, func()) {
	if asJSON {
		return view.NewJSON(c.stdout), func() {}
	}
	stdout := c.stdout
	if isTTY(stdout) {
		stdout = view.Clean(stdout)
	}
	if !isTerminal(c.stderr) {
		return view.NewPlain(c.stderr, stdout), func() {}
	}
	live := view.NewLive(c.stderr, stdout, c.size, c.colour(c.stderr))
	c.log.through(live)
	return live, sync.OnceFunc(func() {
		c.log.through(c.stderr)
		live.Close()
	})
}

// errInterrupted is the cause of a run that the user cancelled.
var errInterrupted = errdef.New(context.Canceled, "interrupted")

// say writes a line at any time, over the ^C that a terminal has echoed.
func (c *cli) say(line string) {
	if isTTY(c.stderr) {
		line = "\r" + line
	}
	fmt.Fprintln(c.log, line)
}

// expectWrecks hushes the warnings of plugins that do not end in peace: the user asked for it.
func (c *cli) expectWrecks() {
	if !c.verbose {
		c.level.Set(slog.LevelError)
	}
}

// interrupts returns two contexts: the first SIGINT or SIGTERM ends soft, a second one ends hard too.
func (c *cli) interrupts(ctx context.Context) (soft, hard context.Context, stop func()) {
	hard, killed := context.WithCancelCause(ctx)
	soft, cancelled := context.WithCancelCause(hard)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, answer := range []func(){
			func() {
				c.say("■ stopping and cleaning up; Ctrl-C again kills at once")
				cancelled(errInterrupted)
			},
			func() {
				c.expectWrecks()
				c.say("■ killing")
				killed(errInterrupted)
			},
		} {
			select {
			case <-signals:
				answer()
			case <-done:
				return
			}
		}
	})
	return soft, hard, func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
		killed(errors.New("the command has ended"))
	}
}
