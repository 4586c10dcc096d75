// Package memory is a guest's RAM in this process: mappings outside the Go heap, which the garbage collector neither scans nor
// counts, handed to KVM as memory slots and to devices as [virtio.Memory].
//
// Memory costs what the guest has touched. Nothing here touches a page before the guest does, and Discard gives pages back.
// It comes from nowhere (anonymous memory) or from a file that it shows a private copy of: a guest restored from a snapshot
// starts with the file's bytes, shares them with its clones and copies a page when it writes to it.
package memory
