// Package console keeps the last output of a guest's serial console and hands it to any number of readers.
//
// The writer never waits: QEMU's serial port would block on a full pipe, and with it the guest. A reader that is slow loses
// the oldest bytes and is told how many.
package console
