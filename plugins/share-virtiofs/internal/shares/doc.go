// Package shares serves the share contract: it opens what a VM's mounts name, locks the process in with that, and serves the
// guest over the link.
package shares
