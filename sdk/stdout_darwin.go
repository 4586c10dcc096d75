package sdk

import "golang.org/x/sys/unix"

// duplicate makes newfd refer to what oldfd refers to.
func duplicate(oldfd, newfd int) error { return unix.Dup2(oldfd, newfd) }
