package virtio

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrMemoryGone is returned when guest memory that was mapped cannot be touched any more: whoever shares
// the file behind it has truncated it.
var ErrMemoryGone = errors.New("guest memory went away")

// Protect calls fn and turns a fault on an address of guest memory into ErrMemoryGone; without it the
// SIGBUS would end the process. Every goroutine that touches guest memory runs under it. Other panics,
// which are bugs of ours, go on.
func Protect(fn func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr })
		if !ok {
			panic(r)
		}
		err = fmt.Errorf("%w: fault at %#x", ErrMemoryGone, fault.Addr())
	}()
	fn()
	return nil
}
