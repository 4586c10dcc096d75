// Package machine makes a bare kernel into a machine that commands can run in: what PID 1 owes the world before, and after,
// the agent serves.
//
// Every step is a function that can be called in a mount namespace of its own, which is how they are tested. What a machine
// can do without is logged and passed over; what it cannot is an error that names the thing.
package machine
