package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/control"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// askTime is what only a run that hangs reaches.
const askTime = 30 * time.Second

// runDir is the directory of a run, which its ID or its directory names.
func runDir(ref string) (string, error) {
	if strings.ContainsRune(ref, filepath.Separator) || ref == "." || ref == ".." {
		return ref, nil
	}
	base, err := observe.DefaultDir()
	return filepath.Join(base, ref), failWith(exitMachine, err)
}

// withRun speaks to the run that an ID or the path of a run directory names.
func withRun(ctx context.Context, ref string, speak func(context.Context, *control.Client) error) error {
	dir, err := runDir(ref)
	if err != nil {
		return err
	}
	client, err := control.Open(dir)
	if err != nil {
		return failWith(exitUsage, err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err = speak(ctx, client)
	if errors.Is(err, errdef.ErrInvalid) || errors.Is(err, errdef.ErrState) || errors.Is(err, errdef.ErrNotFound) {
		return failWith(exitUsage, err)
	}
	return failWith(exitFailed, err)
}

func (c *cli) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "Cancel a run, as Ctrl-C would",
		Long:  "cancel ends a run, which cleans up and exits with 130. RUN is what ps lists, or a run directory.",
		Args:  oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRun(cmd.Context(), args[0], func(ctx context.Context, run *control.Client) error { return run.Cancel(ctx) })
		},
	}
}

// oneRun wants a run.
func oneRun(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return failUsage(fmt.Errorf("%s needs a run", cmd.Name()), "`voidbox ps` lists them")
	}
	return nil
}
