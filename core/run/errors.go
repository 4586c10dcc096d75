package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pipeline"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// ConfigError says that the plan, or the choice of a target, is wrong. Nothing was started.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// MachineError says that this machine lacks something: a backend, QEMU, a kernel, room in the cache.
type MachineError struct{ Err error }

func (e *MachineError) Error() string { return e.Err.Error() }
func (e *MachineError) Unwrap() error { return e.Err }

// PluginError says that a plugin died, which ends the run.
type PluginError struct {
	Plugin string // kind and name, such as llm-echo
	Err    error
	Also   error // why no other could take its place; nil where nobody tried
}

func (e *PluginError) Error() string {
	text := fmt.Sprintf("plugin %s died: %v", e.Plugin, e.Err)
	var exit *pluginhost.ExitError
	if errors.As(e.Err, &exit) {
		text = exit.Error()
	}
	if e.Also != nil {
		text += fmt.Sprintf("; another in its place: %v", e.Also)
	}
	return text
}
func (e *PluginError) Unwrap() error { return e.Err }

// pluginDied is a PluginError that says how to find out more.
func pluginDied(name string, err error) *PluginError {
	return &PluginError{Plugin: name, Err: errdef.New(errdef.ErrUnavailable, "%w", err).
		WithRemedy("run it again with --verbose, which shows what the plugin logs; if it was killed, `dmesg` tells whether memory ran out")}
}

// StageError says that a stage failed.
type StageError struct {
	Stage string
	Err   error
}

func (e *StageError) Error() string { return fmt.Sprintf("stage %s: %v", e.Stage, e.Err) }
func (e *StageError) Unwrap() error { return e.Err }

// MainError says that the main process of a sandbox failed, for runs of a sandbox without an agent.
type MainError struct{ Exit sandbox.Exit }

func (e *MainError) Error() string {
	if e.Exit.Signal != "" {
		return "the main process was ended by SIG" + e.Exit.Signal
	}
	return fmt.Sprintf("the main process ended with status %d", e.Exit.Code)
}

// Exit codes of a run, as the command line documents them.
const (
	ExitOK        = 0
	ExitFailed    = 1
	ExitConfig    = 2
	ExitMachine   = 3
	ExitCancelled = 130
)

// ExitCode is the exit code for the error of New or Run.
func ExitCode(err error) int {
	var config *ConfigError
	var machine *MachineError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &config):
		return ExitConfig
	case errors.As(err, &machine):
		return ExitMachine
	case errors.Is(err, context.Canceled):
		return ExitCancelled
	}
	return ExitFailed
}

// advised says what to do about a stage that took too long, which the pipeline, who knows nothing of files, cannot.
func advised(err error) error {
	var late *pipeline.TimeoutError
	if errors.As(err, &late) {
		return errdef.New(errdef.ErrExhausted, "%w", err).WithRemedy("raise the stage's timeout; where many stages run at once, a smaller max_parallel helps, too")
	}
	return err
}

// sorted wraps errors of starting plugins and sandboxes by whose fault they are.
func sorted(err error) error {
	if err == nil {
		return nil
	}
	var diags base.Diagnostics
	if errors.As(err, &diags) {
		return &ConfigError{Err: err}
	}
	var noKernel *image.NoKernelError
	var badKernel *image.KernelFileError
	var program *image.AgentError
	var full *image.FullError
	var e *errdef.Error
	switch {
	case errors.As(err, &noKernel), errors.As(err, &badKernel), errors.As(err, &program), errors.As(err, &full),
		errors.As(err, &e) && (e.Reason == pluginhost.ReasonNotFound || e.Reason == pluginhost.ReasonNotExecutable):
		return &MachineError{Err: err}
	}
	return err
}

// notStarted is sorted for a plugin. A monitor that is there, but says that it is of no use here, misses something of the
// machine, such as QEMU; one that died has no such excuse.
func notStarted(kind base.Kind, err error) error {
	var exit *pluginhost.ExitError
	if kind == base.KindVMM && errors.Is(err, errdef.ErrUnavailable) && !errors.As(err, &exit) {
		return &MachineError{Err: err}
	}
	return sorted(err)
}

// final tells whether an error would only come again, so that another attempt is a waste.
func final(err error) bool {
	var config *ConfigError
	var machine *MachineError
	var plugin *PluginError
	var limit *agent.LimitError
	if errors.As(err, &limit) && (limit.Limit == agent.LimitTokens || limit.Limit == agent.LimitUSD) {
		return true // another attempt would spend as much again
	}
	return errors.As(err, &config) || errors.As(err, &machine) || errors.As(err, &plugin) ||
		errors.Is(err, errdef.ErrInvalid) || errors.Is(err, errdef.ErrUnsupported) || errors.Is(err, errdef.ErrUnauthenticated)
}
