// Package cgroup keeps what the guest runs apart from the agent, with cgroup v2.
//
//	/agent          the agent
//	/work           everything else: bounded in memory and processes, frozen and thawed as a whole
//	/work/main      the main process
//	/work/exec-N    one command each, with its own limits
//
// A command that has a [Leaf] of its own is killed with all that it started, whatever session or process group that went to;
// that the kernel ran out of memory is read from the leaf's counters; and a fork bomb ends at the bound of /work, where it
// cannot starve the agent.
//
// A leaf outlives its command when the command left something running. It is removed once it is empty.
package cgroup
