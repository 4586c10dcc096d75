package errdef

import (
	"context"
	"errors"
	"io/fs"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
)

var kinds = []struct {
	err  error
	code codes.Code
}{
	{ErrNotFound, codes.NotFound},
	{ErrExists, codes.AlreadyExists},
	{ErrPermission, codes.PermissionDenied},
	{ErrInvalid, codes.InvalidArgument},
	{ErrState, codes.FailedPrecondition},
	{ErrUnsupported, codes.Unimplemented},
	{ErrUnauthenticated, codes.Unauthenticated},
	{ErrExhausted, codes.ResourceExhausted},
	{ErrUnavailable, codes.Unavailable},
	{ErrAborted, codes.Aborted},
	{ErrDataLoss, codes.DataLoss},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{fs.ErrNotExist, codes.NotFound},
	{fs.ErrExist, codes.AlreadyExists},
	{fs.ErrPermission, codes.PermissionDenied},
}

// ToStatus turns an error of a contract into a gRPC status error, with an ErrorDetail. An error without a known kind becomes
// Unknown with its message.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.Unknown
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			code = k.code
			break
		}
	}
	st := status.New(code, err.Error())
	var e *Error
	if errors.As(err, &e) {
		detail := &pluginv1.ErrorDetail{Reason: e.Reason, Remedy: e.Remedy, Fields: e.Fields}
		if with, detailErr := st.WithDetails(detail); detailErr == nil {
			st = with
		}
	}
	return st.Err()
}

// FromStatus is the inverse of ToStatus. An error that is no status is returned as it is.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := &Error{Kind: errors.New(st.Code().String()), Message: st.Message()}
	for _, k := range kinds {
		if k.code == st.Code() {
			e.Kind = k.err
			break
		}
	}
	for _, d := range st.Details() {
		if detail, ok := d.(*pluginv1.ErrorDetail); ok {
			e.Reason, e.Remedy, e.Fields = detail.GetReason(), detail.GetRemedy(), detail.GetFields()
		}
	}
	return e
}
