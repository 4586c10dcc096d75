// Package console is the console device (Virtio 1.2 section 5.3) with one port: a guest's terminal, hvc0 in Linux.
//
// Output goes to a writer that must not block, such as a ring that keeps the last bytes: the goroutine that serves the guest
// calls it, and Stop waits for that. Nothing of it is kept here, so that a guest that floods its console only overwrites the
// writer's older bytes. Input waits in a buffer of bounded size until the guest takes it; what does not fit stays with
// the caller.
package console
