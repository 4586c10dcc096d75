// Package share tests shared directories in real VMs: the mount block of a sandbox, from the host's directory to a program in the
// guest and back.
package share
