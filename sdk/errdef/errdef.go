// Package errdef is the one place where errors meet the wire. A contract returns errors that match one of the sentinels here;
// on the far side of gRPC, errors.Is and errors.As find the same.
package errdef

import (
	"errors"
	"fmt"
)

// Sentinels that a caller decides on. Each has its gRPC code; see ToStatus.
var (
	ErrNotFound        = errors.New("not found")
	ErrExists          = errors.New("already exists")
	ErrPermission      = errors.New("permission denied")
	ErrInvalid         = errors.New("invalid argument")
	ErrState           = errors.New("not possible in this state")
	ErrUnsupported     = errors.New("not supported")
	ErrUnauthenticated = errors.New("not authenticated")
	ErrExhausted       = errors.New("resource exhausted")
	ErrUnavailable     = errors.New("unavailable")
	ErrAborted         = errors.New("aborted")
	ErrDataLoss        = errors.New("data loss")
)

// Error is an error with a kind, one of the sentinels, and what a user or a program needs beside the message.
type Error struct {
	Kind    error
	Message string
	Reason  string            // stable, lower_snake_case, for programs
	Remedy  string            // what the user can do about it
	Fields  map[string]string // details for programs
	Cause   error             // not carried over the wire
}

func (e *Error) Error() string { return e.Message }

// Unwrap lets errors.Is match the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// New makes an error of a kind. A %w in format becomes the cause.
func New(kind error, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: wrapped.Error(), Cause: errors.Unwrap(wrapped)}
}

// WithRemedy returns a copy that says what the user can do.
func (e *Error) WithRemedy(format string, args ...any) *Error {
	c := *e
	c.Remedy = fmt.Sprintf(format, args...)
	return &c
}

// WithReason returns a copy with a stable reason.
func (e *Error) WithReason(reason string) *Error {
	c := *e
	c.Reason = reason
	return &c
}

// Remedy returns the remedy of the first error in the chain that has one.
func Remedy(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Remedy
	}
	return ""
}
