package sandbox

import (
	"errors"
	"fmt"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Reason says why a VM did not get ready.
type Reason string

// Reasons.
const (
	ReasonPanic    Reason = "kernel_panic"    // the guest kernel panicked, as it also does when init ends
	ReasonNoInit   Reason = "no_init"         // it panicked because it found no init
	ReasonAgent    Reason = "agent_failed"    // the agent says what failed
	ReasonSilent   Reason = "no_progress"     // nothing was heard for the ready timeout
	ReasonTooSlow  Reason = "boot_limit"      // it went on and on
	ReasonSecret   Reason = "wrong_secret"    // the agent has another token than we
	ReasonReset    Reason = "guest_reset"     // the guest asked for a reset
	ReasonPowerOff Reason = "guest_power_off" // the guest powered itself off
	ReasonMonitor  Reason = "monitor_failed"  // the hypervisor, or its plugin, failed
	ReasonCanceled Reason = "canceled"        // the caller gave up
)

// ConsoleLines is the number of lines that a BootError shows.
const ConsoleLines = 20

// BootError says why a VM did not get ready.
type BootError struct {
	Reason  Reason
	Stage   Stage  // the last one that was reached
	Console string // last lines
	Err     error
}

func (e *BootError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the VM did not get ready: %v (stage reached: %s)", e.Err, e.Stage)
	if e.Console == "" {
		b.WriteString("; nothing was written to its console")
		return b.String()
	}
	b.WriteString("; its console ended with:")
	for line := range strings.SplitSeq(e.Console, "\n") {
		b.WriteString("\n  | " + line)
	}
	return b.String()
}

// Unwrap returns the cause, of kind errdef.ErrUnavailable or of the kind that its source gave it.
func (e *BootError) Unwrap() error { return e.Err }

// failure is a BootError in the making; the console is added when it is complete.
func failure(reason Reason, stage Stage, format string, args ...any) *BootError {
	err := errdef.New(errdef.ErrUnavailable, format, args...).WithReason(string(reason))
	if remedy := remedies[reason]; remedy != "" {
		err = err.WithRemedy("%s", remedy)
	}
	return &BootError{Reason: reason, Stage: stage, Err: err}
}

var remedies = map[Reason]string{
	ReasonNoInit:  "leave out initrd, or name an initramfs with the guest agent as /init",
	ReasonSilent:  "raise ready_timeout in the sandbox block if this machine is slow",
	ReasonTooSlow: "raise ready_timeout in the sandbox block if this machine is slow",
	ReasonSecret:  "leave out initrd: this one brings a boot configuration of its own",
	ReasonPanic:   "leave out kernel and initrd to see whether the built-in ones boot; a kernel may also lack memory",
}

// ErrStopped is wrapped by the error of a VM that ended by itself.
var ErrStopped = errors.New("the VM has stopped")
