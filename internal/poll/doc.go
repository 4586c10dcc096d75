// Package poll waits for descriptors as a data path wants to: one goroutine that moves packets has one epoll instance, and what wakes
// it is a return of epoll_wait, not a hand-over between threads of the Go runtime.
//
// The runtime's own poller is made for thousands of goroutines that wait for one descriptor each. When the last one parks, the thread
// gives its processor back, looks for other work, polls twice and sleeps; when a packet comes, it finds the goroutine, takes a
// processor, and wakes the runtime's monitor thread, which then runs every 20 us in case that the work is long. For a packet that is a
// fifth of its way (measured: a round trip through net-slirp took 5 calls of epoll_wait, 2 sleeps of the monitor and a futex).
//
// So Wait first blocks in epoll_wait without telling the runtime, which keeps the processor: for a millisecond or two, since a packet that
// comes later than that is not in a hurry. Then it parks like everybody else, and an idle process costs nothing. A goroutine that is
// never without work for so long parks for a moment once a millisecond all the same, so that whatever else the processor has to run gets
// it, even if it is the only one.
//
// Before it blocks, it looks for a while (look.go): at the descriptors, and at memory that a peer writes to, of which it has not asked to be
// told yet. A processor that nobody needs halts, and to be woken on a halted one takes tens of microseconds, which six times over was
// most of a packet's way through a network. Between two looks it gives the processor to whoever else has something to run there, and it
// does not look where that has not paid.
//
// The runtime can take it that a thread of its own does not come back for so long: what stops the world interrupts the call by a signal.
package poll
