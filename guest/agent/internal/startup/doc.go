// Package startup brings the agent to life, as PID 1 of a machine or as an ordinary process, and sees it off.
//
// The order of a machine's boot is the order of what depends on what. The configuration is read and unlinked before the
// first mount covers it. Modules come next, since the socket device hides behind them; then the agent's port is bound, before
// any other program can be there to take it; then the host is told. Only now come the parts that may fail for reasons the
// host has to explain to a person: root, mounts, network, main process.
package startup
