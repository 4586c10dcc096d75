package guestconsole

import "strings"

// panicMark is what Linux says when nothing else is left to say: kernel/panic.c.
const panicMark = "Kernel panic - not syncing"

// KernelPanic tells whether a line of the console is that of a panic, and its reason. Root in the guest can forge one, and gains
// nothing.
func KernelPanic(line string) (reason string, found bool) {
	_, reason, found = strings.Cut(line, panicMark)
	return strings.TrimPrefix(reason, ": "), found
}
