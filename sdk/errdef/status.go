package errdef

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

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
	var e *Error
	typed := errors.As(err, &e)
	// A status that one of our errors has as its cause is not what the caller decides on.
	if _, ok := status.FromError(err); ok && !typed {
		return err
	}
	code := codes.Unknown
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			code = k.code
			break
		}
	}
	st := status.New(code, fit(err.Error(), maxMessage))
	if typed {
		detail := &pluginv1.ErrorDetail{Reason: e.Reason, Remedy: fit(e.Remedy, maxRemedy), Fields: e.Fields}
		if proto.Size(detail) > maxDetail {
			detail.Fields = nil
		}
		if with, detailErr := st.WithDetails(detail); detailErr == nil {
			st = with
		}
	}
	return st.Err()
}

// An error travels in the trailer of its call: the message twice, once in an encoding that may make three bytes of one. A peer
// that bounds trailers, as the sandbox contract does at 64 KiB, would take a longer one for a broken stream and lose all of it.
const (
	maxMessage = 8 << 10
	maxRemedy  = 2 << 10
	maxDetail  = 4 << 10 // without it, fields are left out
)

// fit makes text what a protobuf string holds, of at most limit bytes.
func fit(text string, limit int) string {
	const mark = " ... (cut)"
	if len(text) > limit {
		text = text[:limit-len(mark)] + mark
	}
	return strings.ToValidUTF8(text, "?")
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
