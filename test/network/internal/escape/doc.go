//go:build linux

// Package escape does in a guest what a test of the network tells it to do, with all the freedom that root has there: connections that
// say what they should not, datagrams from any address, frames written byte by byte.
//
// It reads requests from its standard input and answers each on its standard output, as JSON, one after another. It judges nothing: what
// an attempt has come to is told by the servers that it was meant for, by the packets that left the host, and by the events of the run.
package escape
