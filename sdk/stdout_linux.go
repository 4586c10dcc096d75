package sdk

import "golang.org/x/sys/unix"

// duplicate makes newfd refer to what oldfd refers to. Not every architecture of Linux has dup2.
func duplicate(oldfd, newfd int) error { return unix.Dup3(oldfd, newfd, 0) }
