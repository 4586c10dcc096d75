// Package agent is the sandbox contract over the machine that it runs in. It puts the parts together: commands, files, the
// main process, what the kernel tells, and the orderly end.
package agent
