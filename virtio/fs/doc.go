// Package fs is the virtio file system device (Virtio 1.2 section 5.11). The file system is another process, the share plugin:
// FUSE requests go to it and replies come from it over a link of the kind link.Requests.
//
//	guest                      device                              share plugin
//	queue i ── readable ──► requester i ── one copy ──► lane i, Out ──► FUSE request, or notice
//	queue i ◄─ writable ─── replier   i ◄─ one copy ─── lane i, In  ◄── FUSE reply
//
// Queue i has lane i: 0 is the queue of high priority, the others are request queues. There is no notification queue, since
// VIRTIO_FS_F_NOTIFICATION is not offered. The device looks at nothing but the FUSE headers, and offers no features.
//
// # A request
//
// The requester copies the header out of guest memory and judges the copy: its length lies between that of a header and the
// readable bytes, and the writable part has room for an answer. The copy and the bytes behind it go into a record, with the
// writable length as the room. The record's tag is the link's: the guest's "unique" is only echoed, and decides nothing. A
// reply is judged too: its length is its record's, "unique" the request's, and an error stands alone. What is wrong becomes
// EIO, for that one request.
//
// FORGET, BATCH_FORGET, INTERRUPT and NOTIFY_REPLY have no answer. They travel as notices, without a credit, and their chains
// go back to the driver at once.
//
// # Two goroutines a queue
//
// A request that finds no credit, or no room, stays in the virtqueue, and the requester waits. The replier never waits for
// anything but replies, since it is they that bring credits. Both use the queue, under a lock that is held for single ring
// operations, never while bytes are copied.
//
// # A dead plugin
//
// When the link goes down, all that is pending fails with EIO, and so does what the guest asks from then on, until Relink
// brings a plugin again. To that plugin the guest's driver is a running one, which does not send FUSE_INIT again.
//
// # Pausing, resetting, saving
//
// Stop takes no more requests and gives those in flight Config.Drain to be answered. What is not by then, such as a lock that
// somebody waits for, is kept: the reply stays in the link, and the next Activate takes its chain over (virtio.Queue.Adopt). So
// no request fails because its guest was paused.
//
// A reset drops what is pending and begins a new epoch, in which the link passes late replies over.
//
// Saved state names the requests that Stop had to keep. The link that knows about them is not part of it, so the device that
// loads the state fails them with EIO. A program that saves a guest whose requests have all been answered saves none.
package fs
