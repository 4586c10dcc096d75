// Package mock is a sandbox in memory: the contract of package sandbox over a machine of package shell.
//
// Of the capabilities it has users and limits, and lacks those that need more than memory: a terminal keeps its size, and nothing
// can be dialled, frozen or measured. Everything else is as in a VM, and held to the same conformance suite.
//
// Limits are those of package shell, which counts itself what a kernel would count. Two are coarser than a kernel's: the memory
// of a process is what its variables and collected input take, and its time is the wall time in which it did not wait.
package mock
