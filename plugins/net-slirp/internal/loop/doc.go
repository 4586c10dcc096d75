// Package loop is the one goroutine that moves everything, however many flows there are.
//
// A goroutine for each direction of each connection is how Go programs relay, and at ten thousand idle connections it is tens of
// KiB for each of them; and each hand-over between goroutines is a wake-up on the way of a packet. So a flow here is a state machine:
// the loop waits for host descriptors (edge-triggered, Watcher) and for the rings of the guest (Source), and it runs what netstack's
// callbacks ask for (Post), because these come with locks held. Nothing that it calls may block. What it calls is called by nobody else at
// the same time.
//
// A turn of the loop: frames of the guest go into netstack; netstack's own goroutines do what there is to do (they are a Gosched away,
// on the same processor, since there is only one); tasks that came of it run; events of the host are told, whose bytes go through
// netstack into the ring. Then it waits, as package poll says.
package loop
