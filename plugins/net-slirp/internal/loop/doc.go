// Package loop runs the relays of all flows with two goroutines, however many flows there are.
//
// A goroutine for each direction of each connection is how Go programs relay, and at ten thousand idle connections it is tens of
// KiB for each of them; and each hand-over between goroutines is a wake-up on the way of a packet. So a flow here is a state machine:
// one goroutine waits for host descriptors (edge-triggered epoll, Watcher), the other runs what netstack's callbacks ask for
// (Post), because these come with locks held. Both may call the same flow, which has a lock of its own. Neither may block.
//
// The epoll descriptor itself waits in the runtime's poller (epoll nests), so that the goroutine that has something to do is
// run by the thread that learns of it, without a thread of ours that sleeps in the kernel.
package loop
