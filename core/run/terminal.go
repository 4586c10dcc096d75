package run

import (
	"context"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// terminal is the user's, for one agent at a time: others wait.
func (r *Run) terminal() agent.Terminal {
	if r.cfg.Terminal == nil {
		return nil
	}
	return func(ctx context.Context, box sandbox.Sandbox, cmd sandbox.Command) (sandbox.Exit, error) {
		select {
		case r.tty <- struct{}{}:
		case <-ctx.Done():
			return sandbox.Exit{}, ctx.Err()
		}
		defer func() { <-r.tty }()
		return r.cfg.Terminal(ctx, box, cmd)
	}
}
