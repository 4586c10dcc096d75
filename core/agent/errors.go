package agent

import (
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Limits of a run, as LimitError names them.
const (
	LimitTurns  = "turns"
	LimitTokens = "tokens"
	LimitUSD    = "usd"
	LimitTime   = "time"
)

// LimitError says that a run was ended by one of its limits.
type LimitError struct {
	Limit string // one of the Limit constants
	Max   string // the limit with its unit
	Used  string // what was used when it struck; may be empty
}

func (e *LimitError) Error() string {
	if e.Used == "" {
		return fmt.Sprintf("the agent reached its limit of %s", e.Max)
	}
	return fmt.Sprintf("the agent reached its limit of %s: it used %s", e.Max, e.Used)
}

// Unwrap says what to do.
func (e *LimitError) Unwrap() error {
	remedy := "raise the agent's budget, or ask it for less"
	if e.Limit == LimitTurns {
		remedy = "raise max_turns, or ask the agent for less"
	}
	return errdef.New(errdef.ErrExhausted, "limit of %s", e.Limit).WithRemedy("%s", remedy)
}

// ModelError is a failure of the provider.
type ModelError struct{ Err error }

func (e *ModelError) Error() string { return "model: " + e.Err.Error() }
func (e *ModelError) Unwrap() error { return e.Err }

// SandboxError is a failure of the sandbox itself, as opposed to one of a command in it.
type SandboxError struct{ Err error }

func (e *SandboxError) Error() string { return "sandbox: " + e.Err.Error() }
func (e *SandboxError) Unwrap() error { return e.Err }

// Ways in which a model fails to answer.
var (
	ErrRefused = errors.New("the model refused to answer")
	ErrCut     = errors.New("the model's answer was cut off at its output limit")
)
