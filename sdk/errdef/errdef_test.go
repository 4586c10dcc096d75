package errdef

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
)

func TestErrorsSurviveTheWire(t *testing.T) {
	_, missing := os.Stat("/does/not/exist")
	cases := []struct {
		err  error
		want error
	}{
		{New(ErrNotFound, "no such program"), ErrNotFound},
		{fmt.Errorf("start: %w", New(ErrPermission, "no x bit")), ErrPermission},
		{missing, ErrNotFound},
		{fs.ErrPermission, ErrPermission},
		{context.Canceled, context.Canceled},
		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), context.DeadlineExceeded},
		{ErrState, ErrState},
	}
	for _, c := range cases {
		got := FromStatus(ToStatus(c.err))
		if !errors.Is(got, c.want) {
			t.Errorf("%v arrived as %v, which is not %v", c.err, got, c.want)
		}
		if got.Error() != c.err.Error() {
			t.Errorf("message %q arrived as %q", c.err, got)
		}
	}
}

func TestDetailsSurviveTheWire(t *testing.T) {
	e := New(ErrUnavailable, "no QEMU").WithRemedy("apt-get install %s", "qemu-system-x86").WithReason("no_qemu")
	e.Fields = map[string]string{"path": "/usr/bin"}
	var got *Error
	if !errors.As(FromStatus(ToStatus(fmt.Errorf("create: %w", e))), &got) {
		t.Fatal("not an *Error on the far side")
	}
	if got.Remedy != e.Remedy || got.Reason != e.Reason || got.Fields["path"] != "/usr/bin" {
		t.Errorf("details arrived as %+v", got)
	}
	if Remedy(got) != e.Remedy {
		t.Errorf("Remedy = %q", Remedy(got))
	}
}

func TestUnknownErrorsStayErrors(t *testing.T) {
	got := FromStatus(ToStatus(errors.New("odd")))
	if got == nil || got.Error() != "odd" {
		t.Errorf("got %v", got)
	}
	if ToStatus(nil) != nil || FromStatus(nil) != nil {
		t.Error("nil must stay nil")
	}
	local := errors.New("not from the wire")
	if !errors.Is(FromStatus(local), local) {
		t.Error("an error that is no status must come back as it is")
	}
}

func TestCauseIsFound(t *testing.T) {
	cause := errors.New("disk on fire")
	e := New(ErrDataLoss, "read image: %w", cause)
	if !errors.Is(e, cause) || !errors.Is(e, ErrDataLoss) {
		t.Errorf("%v hides its kind or its cause", e)
	}
}
