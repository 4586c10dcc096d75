// Package mcp speaks to servers of the Model Context Protocol on behalf of the native loop: it starts or reaches one, learns its
// tools, calls them, and ends it.
//
// A server is a stranger, wherever it runs. It may die, hang, print what is no message, answer without end or change its tools in
// mid-run, and none of that may do more than fail the call that waits for it. So each message, each result, each description and
// the number of tools are bounded; what a server prints that is no message is kept only for the error that tells of it; and the
// messages that it sends unasked are dropped here, but for the one that says its tools have changed, since those who queue them
// above know no bound.
//
// A server's program runs where its [Launch] puts it: in the sandbox, through the sandbox's own contract, or on the host. A server
// at an address is reached through a dialer, which is the sandbox's, so that the sandbox's egress rules hold, or the host's.
//
// The protocol itself is the business of github.com/modelcontextprotocol/go-sdk, whose only home this is.
package mcp
