// Package tree carries a file, or a directory with all that is below it, from one file system to another as a tar archive (POSIX.1-2001,
// pax). [Pack] writes one, [Unpack] makes files of it; the command line is at one end and the guest agent at the other, so that there is
// one set of rules for both directions.
//
// # The archive
//
// Its first entry is the thing itself, by the name "."; what is below follows depth first, a directory before its entries, by paths relative
// to it. A second name of a file is a hard link to the first. Times have whole seconds, which spares each file a header of its own.
// Sockets, devices and FIFOs are left out, and counted.
//
// # Who wrote it
//
// Nobody believes an archive. Unpack works on directory descriptors (os.Root) and one name at a time, so that no entry leads out of the
// place that was asked for: not by "..", not through a symbolic link that an earlier entry has made, not by a hard link. It keeps one
// descriptor for each level of depth, which is bounded, and nothing for each entry.
//
// # What an interruption leaves
//
// A file is written under another name, beginning with [Temporary], and renamed when it is whole. So there is never half a file under its
// final name: not after an archive that breaks off, nor after a process that was killed. What was complete by then stays.
package tree
