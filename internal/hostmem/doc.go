// Package hostmem tells how much memory a new VM may take without driving the host, or the control group that we run in,
// into swapping or the out-of-memory killer.
package hostmem
