// Package files serves the file part of the sandbox contract.
//
// The agent handles files as root, on behalf of a host that may do anything in its guest. What it must not do is hang, or
// grow without bound, on what the guest put in its way: a path that turns out to be a FIFO or a device is refused without
// waiting, directories are listed up to a bound, and a write never follows a symbolic link in the place of the file.
//
// A write goes to a temporary file in the same directory, which takes the place of the old one by rename: readers see the
// old content or the new, and a write that fails leaves the old. It is not synced to disk; the machine is disposable, and
// its shutdown syncs.
package files
