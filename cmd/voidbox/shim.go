package main

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/core/shim"
)

// shimCommand is the process that holds a named sandbox. Nobody types it.
func (c *cli) shimCommand() *cobra.Command {
	return &cobra.Command{
		Use:    shim.Command,
		Short:  "Hold a named sandbox (started by voidbox itself)",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := shim.Receive(c.stdin)
			if err != nil {
				return failWith(exitUsage, err)
			}
			if s.Verbose {
				c.level.Set(slog.LevelDebug)
			}
			return failWith(exitFailed, c.hold(cmd.Context(), s))
		},
	}
}

func (c *cli) hold(ctx context.Context, s *shim.Shim) error {
	signal.Ignore(syscall.SIGHUP)
	soft, hard, stop := c.interrupts(ctx)
	defer stop()
	host, err := c.hostOf(s.File)
	if err != nil {
		s.Fail(err)
		return err
	}
	defer host.Close(hard)
	return s.Run(soft, run.Config{Host: run.Plugins(host), Hard: hard})
}

// hostOf returns a host for the plugins of a configuration; an empty path means that there is none.
func (c *cli) hostOf(path string) (*pluginhost.Host, error) {
	if path == "" {
		return c.pluginHost()
	}
	host, diags, err := c.hostFor(path)
	if err == nil && diags.HasErrors() {
		err = diags
	}
	return host, err
}
