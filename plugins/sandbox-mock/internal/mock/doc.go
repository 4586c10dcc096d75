// Package mock is a sandbox in memory: the contract of package sandbox over a machine of package shell.
//
// It declares no capability: a terminal keeps its size, nothing can be dialled, frozen or measured, there is one user and no
// kernel that enforces limits. Everything else is as in a VM, and held to the same conformance suite.
package mock
