// Package command runs the commands of a sandbox.
//
// # What an exec waits for
//
// An exec ends when its command has ended and what it wrote is delivered. The command's pipes are read to their end, so not
// a byte is lost; but a command may leave something running that holds them open, a server started with "&", and an exec
// must not wait for that. So once the command itself has ended, its pipes are read for a short while longer and then for
// what is in them at that moment. What was left running goes on: its output is read on, into nothing, so that it does not
// die of a broken pipe. Cancelling an exec, or its time limit, kills all of it.
//
// # Order of the world
//
// Nothing is started while the sandbox is frozen (the child would stop between fork and exec and take the agent's lock with
// it) or shutting down: a gate is held shared for the start of each command.
package command
