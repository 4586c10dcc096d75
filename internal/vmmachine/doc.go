// Package vmmachine holds what every monitor of ours does with a machine's description before anything is started for it: it
// checks the description, so that a mistake is told in our words and with its place, not in those of an emulator or a panicking
// kernel, and it concatenates the segments of the initramfs.
package vmmachine
