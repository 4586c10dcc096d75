// Package mcpstandin is a Model Context Protocol server for tests: a real one, over go-sdk's server side, whose tools do what a test
// needs, and one for each way in which servers go wrong. It runs as a program of its own, on the host or inside a VM.
package mcpstandin
