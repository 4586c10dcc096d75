// Package guestconsole keeps the last output of a guest's console and hands it to any number of readers.
//
// The writer never waits: the guest would wait with it, at its serial port. A reader that is slow loses the oldest bytes and is
// told how many.
package guestconsole
