// Package network holds the network against its promise where it counts: in a VM, whose guest runs the programs that people use,
// with the plugins in processes of their own as a run has them, towards real servers of an internet that the test makes (package
// testnet). It runs on QEMU's emulation everywhere, and on KVM on hardware or in the lab.
package network
