// Package link is the shared-memory ring between a VM's device model and the plugin behind it: Ethernet frames to and
// from a network, file requests and replies to and from a share. Control goes over gRPC; what a guest moves goes here.
//
// # Set-up
//
// The plugin listens (Listen, or Offer on one end of a socketpair), the device dials (Dial, Connect). The socket is a
// SOCK_SEQPACKET one of the user's own, and both ends ask the kernel who the other is. The device says what it needs: a
// [Purpose], a number of lanes, one a virtqueue or queue pair, and offloads. The plugin answers with the sizes, one
// sealed memfd, which can neither shrink nor grow, and four eventfds a lane. Geometry is settled in these messages and
// stands nowhere in the memory. The socket stays open: when it ends, the link is down. Link.Redial makes the next one.
//
// # Layout
//
//	memfd   │ lane 0                                       │ lane 1 ...
//	        ├───────────┬─────────────────┬────────────────┤
//	        │ counters  │ up ring         │ down ring      │      up: device to plugin, down: plugin to device
//	        │ 4 KiB     │ 64 KiB - 16 MiB │ the same       │
//	        └───────────┴─────────────────┴────────────────┘
//
//	counters of a ring, each 128 bytes from the next:
//	        prod        where the producer has got to                 written by the producer
//	        data event  "kick me when prod passes this"               written by the consumer
//	        cons        where the consumer has got to                 written by the consumer
//	        space event "kick me when cons passes this"               written by the producer
//
//	ring              cons                        prod
//	        ┌─────────┬───────────┬───────┬───────┬────────┬──────┐
//	        │ free    │ record    │record │record │ free   │      │  bytes [cons, prod) are full
//	        └─────────┴───────────┴───────┴───────┴────────┴──────┘
//	                                                       └ a wrap record, where the next one does not fit the end
//
//	record, at a multiple of 16 bytes
//	         0        4    5       8        12       16                              32
//	        ┌────────┬────┬───────┬────────┬────────┬───────────────────────────────┬─────────┬─────┐
//	        │ length │kind│ zero  │ epoch  │ zero   │ frame: virtio-net header, 12  │ payload │ pad │
//	        │        │    │ flags │        │        │ request: tag 8, room 4        │         │     │
//	        └────────┴────┴───────┴────────┴────────┴ reply: tag 8 ─────────────────┴─────────┴─────┘
//
// Counters are 32 bits wide, run freely and are masked only to find a place. A payload is never split, so that it can be
// used where it lies.
//
// # Use
//
// A ring has one producer and one consumer. A [Writer] reserves (TryReserve, which never blocks), fills, commits, and
// publishes once a batch. A [Reader] takes records with Next and gives a batch back with Release. Both Wait for the other
// end. The data path allocates nothing.
//
// Neither end may stop draining its input because its output is full. Hence a lane's two ends are independent, full is an
// answer and not a wait, and whoever does Wait for room does so in a goroutine that reads nothing:
//
//   - Frames: the device leaves TX chains in the virtqueue; the network blocks TCP, and drops and counts UDP. It sends the
//     frames of a flow on the lane on which it last saw that flow, and on lane 0 what it has not seen: a driver may use fewer
//     queue pairs than there are lanes, and what comes on the others is dropped.
//   - Requests: a lane has credits. A request takes one, its reply brings it back once it was released. So the plugin can
//     always take all that comes, and the device always has a place for a reply.
//
// A request's [Tag] is the device's own and holds for one reply, which fits the room that the request made for it.
// Messages without a reply (KindNotice: FUSE_FORGET) need neither tag nor credit.
//
// # Epochs
//
// A device reset is Link.NewEpoch: a record tells the plugin, in its place among the others, and from there on every record
// carries the new number. What the plugin wrote before it saw that is passed over at the device; replies to old requests
// bring back their credits and are not seen, so the plugin goes on answering each request once. A link that is made
// again after its peer died counts on from the old one: the guest sees the carrier go down and up, or its requests fail.
// Rings are never part of a snapshot.
//
// # Kicks
//
// Kicks are asked for: an end that is about to sleep writes the counter value that has to be passed into its event word,
// and looks once more. An end that is awake leaves an old value there and is never kicked. Before it sleeps it looks for
// up to 20 us as long as that pays, else once in 16 waits to find out.
//
// Sleeping is a read of the eventfd through the runtime's poller. The choice was measured (2 busy cores, two processes,
// 64 bytes there and back, half the way, p50). A bare eventfd takes 17 to 24 us through the poller when the other end
// sleeps, and 12 to 16 us in a blocking read. In the link, which looks before it sleeps, the poller took 21 to 27 us when
// the other end slept and 7 to 8 us back to back, a blocking thread 25 to 28 us and 7 to 17 us: it keeps the scheduler from
// using its processor. The poller needs no thread a lane and ends with a context. `go run ./bench/link` measures again.
//
// Whoever waits for more than the link, on a thread of its own choice, does without that: Arm asks for the kick, and Event is what to
// wait for (internal/poll).
//
// # The peer is hostile
//
// What a peer can write is never believed: a counter has to lie between the last one and the greatest possible, a header
// is copied out by whole words before it is judged, a length is bounded by what is there, kinds, epochs, tags, credits and
// zero bits have to be right. A peer that breaks a rule takes its own link down (ErrViolation), and nothing else:
//
//   - Its memory cannot be taken away: seals, size and file system are checked, so that no access ends in SIGBUS.
//   - Its eventfds are known to be such. O_NONBLOCK of a shared eventfd is the peer's to change: reads ask for RWF_NOWAIT,
//     and a write that the peer holds up is let go by Break.
//   - Payloads are the caller's to distrust: copy a header out of Payload before looking at it, and ask NetHeader.Check.
//
// After Break, or the peer's end, every call returns the reason. Memory is unmapped by Close, for which the goroutines that
// use the lanes must have ended.
package link
