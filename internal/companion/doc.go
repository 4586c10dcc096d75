// Package companion starts voidbox once more, as a process that holds what nobody else may: keys. Its name is a hidden command of
// the binary. It is told what to do by its standard input, whose end is its own, so that it never outlives who started it; it
// reports on its standard output. What it is told, and what it does to confine itself, is its own affair.
package companion
