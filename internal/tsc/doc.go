// Package tsc measures how fast the time-stamp counter of this machine runs.
//
// An emulated guest reads the host's counter, but has nothing reliable to calibrate it against: Linux tries the emulated PIT
// and fails in about one boot of three (measured). It takes the figure from its command line instead, tsc_early_khz.
package tsc
