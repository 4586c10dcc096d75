// Package block is the virtio block device (Virtio 1.2 section 5.2) on a raw file or a block device of the host.
package block
