package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	// maxToolTime is what a call may ask for, unless the agent's own deadline is longer.
	maxToolTime = 30 * time.Minute
	// lateAnswer is how long after its deadline a sandbox may take to say that a command was ended.
	lateAnswer = 15 * time.Second
)

var bashTool = tool{
	name:        "bash",
	description: "Runs a shell command in the sandbox and returns what it prints, both streams together. Each call starts afresh in the working directory.",
	params: []param{
		{name: "command", kind: "string", description: "The command line.", required: true},
		{name: "timeout_seconds", kind: "integer", description: "Time after which the command is killed; the usual limit when left out."},
	},
	run: bash,
}

func bash(ctx context.Context, t *toolbox, args arguments) (string, error) {
	deadline := t.deadline
	if n := args.number("timeout_seconds"); n > 0 {
		deadline = min(time.Duration(n)*time.Second, max(maxToolTime, t.deadline))
	}
	late := errors.New("no answer")
	execCtx, cancel := context.WithTimeoutCause(ctx, deadline+lateAnswer, late)
	defer cancel()

	out := newHeadTail(t.outputBytes)
	exit, err := t.sandbox.Exec(execCtx, sandbox.Command{
		Args: []string{t.shell, "-c", args.text("command")}, Env: t.env, Dir: t.dir, User: t.user, Timeout: deadline, Limits: t.limits,
	}, sandbox.IO{Stdout: out, Stderr: out})
	if err != nil {
		if ctx.Err() == nil && errors.Is(context.Cause(execCtx), late) {
			return "", &SandboxError{Err: fmt.Errorf("a command did not end %v after its deadline of %v", lateAnswer, deadline)}
		}
		return "", verdict(ctx, "the command could not be run", err)
	}
	text := out.String()
	if note := ending(exit, deadline); note != "" {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return "", failure("%s[%s]", text, note)
	}
	return text, nil
}

// ending says how a command ended, unless it ended well.
func ending(exit sandbox.Exit, deadline time.Duration) string {
	switch {
	case exit.TimedOut:
		return fmt.Sprintf("killed: it ran longer than %v", deadline)
	case exit.OOMKilled:
		return "killed: it ran out of memory"
	case exit.Signal != "":
		return "ended by SIG" + clean(exit.Signal)
	case exit.Code != 0:
		return fmt.Sprintf("exit status %d", exit.Code)
	}
	return ""
}
