// Package errno gives errors of the kernel the kinds of the contract, so that a caller far away can decide on them.
package errno

import (
	"errors"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

var kinds = map[syscall.Errno]error{
	syscall.ENOENT:       errdef.ErrNotFound,
	syscall.ENOTDIR:      errdef.ErrNotFound,
	syscall.ENXIO:        errdef.ErrNotFound,
	syscall.ENODEV:       errdef.ErrNotFound,
	syscall.EEXIST:       errdef.ErrExists,
	syscall.EACCES:       errdef.ErrPermission,
	syscall.EPERM:        errdef.ErrPermission,
	syscall.EROFS:        errdef.ErrPermission,
	syscall.ENOEXEC:      errdef.ErrPermission,
	syscall.EINVAL:       errdef.ErrInvalid,
	syscall.EISDIR:       errdef.ErrInvalid,
	syscall.ELOOP:        errdef.ErrInvalid,
	syscall.ENAMETOOLONG: errdef.ErrInvalid,
	syscall.E2BIG:        errdef.ErrInvalid,
	syscall.EXDEV:        errdef.ErrInvalid,
	syscall.ENOTEMPTY:    errdef.ErrState,
	syscall.EBUSY:        errdef.ErrState,
	syscall.ETXTBSY:      errdef.ErrState,
	syscall.ENOSPC:       errdef.ErrExhausted,
	syscall.EDQUOT:       errdef.ErrExhausted,
	syscall.EFBIG:        errdef.ErrExhausted,
	syscall.ENOMEM:       errdef.ErrExhausted,
	syscall.EAGAIN:       errdef.ErrExhausted,
	syscall.EMFILE:       errdef.ErrExhausted,
	syscall.ENFILE:       errdef.ErrExhausted,
	syscall.ECONNREFUSED: errdef.ErrUnavailable,
	syscall.ECONNRESET:   errdef.ErrUnavailable,
	syscall.EHOSTUNREACH: errdef.ErrUnavailable,
	syscall.ENETUNREACH:  errdef.ErrUnavailable,
	syscall.ETIMEDOUT:    errdef.ErrUnavailable,
	syscall.EOPNOTSUPP:   errdef.ErrUnsupported,
	syscall.ENOSYS:       errdef.ErrUnsupported,
}

// Wrap gives err the kind of the errno in it. An error that holds none, or has a kind already, comes back as it is.
func Wrap(err error) error {
	var typed *errdef.Error
	if err == nil || errors.As(err, &typed) {
		return err
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	kind, known := kinds[errno]
	if !known {
		return err
	}
	return &errdef.Error{Kind: kind, Message: err.Error(), Cause: err}
}
