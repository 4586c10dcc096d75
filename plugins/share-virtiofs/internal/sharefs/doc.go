// Package sharefs is the file system that a guest sees: directories of the host, handed through.
//
// # Nodes, places, descriptors
//
// A guest names inodes by numbers that it got from lookups, and gives each back with FORGET. Behind a number is a node. A node
// is no open file: it has a place, which is a name in the directory of another node, and the key of the inode that was found
// there. What has to be done to a file is done by name in the directory's descriptor, or by the file's own descriptor of O_PATH, which is
// opened when it is first needed and closed when others were needed since. So a million files that a guest has looked at cost
// a million small structs, and hardly a descriptor. When a name leads to another inode than the key says, the host has changed
// the tree: ESTALE makes the guest look the name up again.
//
// What loses its name while the guest knows it, is opened first and stays open until it is forgotten.
//
// # Overlays
//
// In an overlay a node has two places: in front, where the guest's changes go, and in the back, which is only read. A file
// that is about to be changed is copied to the front first. What is gone from the back is hidden by a whiteout in front, a
// directory that does not show the one below it is opaque; both are said by the attribute in which records stand.
//
// # Owners
//
// The host's user is one of the guest's, and back. Another owner, a set-user-ID bit or a device is kept as a record beside the file
// (see record), never made real.
//
// # Locks
//
// The table's lock is held for lookups in memory, never over a system call that can wait. An overlay's lock orders what takes
// several calls. A handle's lock keeps its descriptor in place.
//
// Locks of files (flock, POSIX, OFD) are not handled here: the guest's kernel keeps them, since the features that would hand
// them over are not offered. They hold among all of the guest's processes.
package sharefs
