// Package machine checks a machine's description before anything is started for it, so that a mistake is told in our words
// and with its place, not in those of an emulator or a panicking kernel.
package machine
