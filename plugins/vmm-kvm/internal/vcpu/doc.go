// Package vcpu runs the vCPUs of a VM: a thread for each, which does little but KVM_RUN and the register accesses of devices.
//
//	          ┌─────────────────── thread of a vCPU, locked ──────────────────┐
//	Launch ─► │ OnThread ─► gate ─► KVM_RUN ─► exit: bus.Read, bus.Write ─┐   │ ─► End, Failure, Done
//	          │              ▲         ▲──────────────────────────────────┘   │
//	          │              └─ EINTR ─┘                                      │
//	          └───────────────────────────────────────────────────────────────┘
//
// # Kicks
//
// What the set wants of its vCPUs (run, be paused, end) stands at the gate. To make a thread look there, a kick sets
// immediate_exit in the run page and then sends the thread a signal. The flag catches a thread that is about to enter the guest,
// the signal one that is inside; either way KVM_RUN finishes the I/O that was pending and returns EINTR. EINTR means "look at the
// gate" and nothing else: a thread that finds the gate open goes on, so that stray signals do no harm. The thread itself
// takes the flag back, before it looks: a wish that comes later sets it again.
//
// # States
//
// A set is paused from New on. Launch starts the threads, which wait at the gate; Resume lets them run; Pause returns when all have
// come back to the gate. Save and Load work on a set that is paused, from the caller's thread, since nobody holds the vCPUs then:
// the threads of vCPUs themselves need no request of KVM's but KVM_RUN, and their seccomp filters may say so.
//
// A set ends when Stop is called, when the guest says so, or when one vCPU fails; then all threads end and Done is closed. A
// Failure has the registers and the instruction at which it happened.
package vcpu
