// Package proc starts the agent's child processes and is the only place in the agent that waits for them.
//
// # Why not os/exec
//
// The agent is PID 1: every orphan of the guest becomes its child and must be reaped. A blind wait4(-1) beside os/exec
// steals the exit status that os/exec waits for. The two usual ways out cost something: a reaper of its own with the agent
// as its child means a second start of a gRPC program, which emulation makes slow, and peeking with WNOWAIT shows the same
// unclaimed zombie first until somebody else takes it. So there is one waiter, [Table], which collects every child with its
// resource usage: those that it started are told, orphans are dropped. A bug that panics the agent ends the VM, loudly, with
// the trace on the console; a sandbox without its agent would be of no use to anybody.
//
// # A child that ends before it is known
//
// No lock is held across a fork, so that forks run side by side. A child may therefore be collected before the start that
// made it has learned its process id. What is collected and belongs to nobody while starts are under way is kept for them,
// and forgotten once every start that could ask for it has returned: a start can only ask for what was collected after it
// began.
//
// Collecting, and sending a signal, do exclude each other: a signal is sent only to a child that has not been collected, so
// that it cannot hit a recycled process id.
//
// # Limits of a child
//
// Go runs nothing between fork and exec that could call setrlimit. A child with limits is started under ptrace: it stops at
// its exec, before its first instruction, which the reaper is told like an end; the limits are set with prlimit, and it is
// let go. Children without limits of their own do without.
package proc
