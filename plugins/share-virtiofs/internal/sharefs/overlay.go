//go:build linux

package sharefs

import "golang.org/x/sys/unix"

// raise makes sure that a node is in front. The mount is held for a change.
func (f *FS) raise(n *node) error { return nil }

// raiseAlone is raise for those who do not hold the mount.
func (f *FS) raiseAlone(n *node) error { return nil }

// vacate makes sure that a name is free.
func (f *FS) vacate(b *newborn) error { return nil }

func (f *FS) removeLayered(dir *node, name string, flags int) error { return unix.ENOSYS }
func (m *move) layered() error                                      { return unix.ENOSYS }

func (f *FS) merge(n *node, front, back *place) (*listing, error) { return nil, unix.ENOSYS }

// CheckUpper tells whether a directory can be the upper one of an overlay.
func CheckUpper(fd int) error { return nil }
