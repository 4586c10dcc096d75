// Package rng is the entropy device (Virtio 1.2 section 5.4): a guest's hardware source of random numbers, fed from the host's
// (getrandom).
//
// One request is answered with at most 64 KiB, whatever room it has, so that the device never spends long on one. The rate
// is not limited: a guest that asks all day keeps one thread of its own VM busy and takes nothing from others, since the host's
// generator does not run dry.
package rng
