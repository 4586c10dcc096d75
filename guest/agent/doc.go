// Command voidbox-guest-agent is PID 1 of a voidbox machine: it makes the machine usable and serves the sandbox contract to the host,
// on vsock port 1234. Started as anything but PID 1, it serves the same contract on a unix socket, for tests.
//
// It is one static binary:
//
//	CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags "-s -w" ./guest/agent
//
// The tag grpcnotrace leaves out a tracing page that brings an HTTP server and HTML templates along: 11 MB become 7, and the
// start under emulation is shorter for it.
//
// # Why one process
//
// A reaper as PID 1 with the agent as its child would survive a panic of the agent. But it would be a second start of a Go
// program with gRPC in it, which costs 0.1 s under emulation, for a machine that is of no use without its agent: its secret
// is unlinked and its commands' ends are in the dead process. So a panic of the agent is a panic of the machine, with the
// trace on the console, and a panic within one call is caught there. Being PID 1 also puts the agent out of reach of the
// kernel's out-of-memory killer and of every signal of the guest, which no setting of oom_score_adj can promise.
//
// # What the guest cannot take away
//
// Commands live in cgroups beside the agent's, bounded together in memory and processes. A kernel without cgroups still
// serves; its commands are then bounded by their rlimits only, and Freeze is not among the capabilities.
package main
