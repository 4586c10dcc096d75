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
// # The lock
//
// Starts hold the table's lock shared, from before the fork until the child is in the table. The reaper holds it
// exclusively while it waits (without blocking), so a child can never be collected before it is known. Signals are sent with
// the lock held shared and only to a child that is still in the table, so a recycled process id is never hit.
//
// # Limits of a child
//
// Go runs nothing between fork and exec that could call setrlimit. A child with limits is started under ptrace: it stops at
// its exec, before its first instruction; the limits are set with prlimit, and it is let go. Children without limits of
// their own do without.
package proc
