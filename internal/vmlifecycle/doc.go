// Package vmlifecycle keeps a monitor to the order of its contract: which call is possible when, and what is told of it.
//
//	none ─► being created ─► created ─► running ◄─► paused
//	  ▲          │              │          │          │
//	  └──failed──┘              └──────────┴──────────┴──► stopped
//
// [States] is the state; a call that it forbids is errdef.ErrState. [Events] is what a watcher is told, from the first event to
// the one of kind Stopped, whenever it comes to watch.
package vmlifecycle
