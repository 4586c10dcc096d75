// Package fusebridge lets a test use a share without a VM: it plays the virtio-fs device, with the host's own kernel as the guest.
// Messages go from /dev/fuse into a link and back, so that a share plugin's whole server is under test, at native speed and with
// every program of the host. It needs the right to mount.
//
//	program ── kernel ── /dev/fuse ── bridge ══ link ══ share plugin
//
// FORGET and INTERRUPT travel on lane 0, like a guest's, everything else on lane 1.
package fusebridge
