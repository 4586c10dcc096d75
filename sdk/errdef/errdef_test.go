package errdef

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
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

func TestKindGoesBeforeTheStatusOfACause(t *testing.T) {
	inner := ToStatus(New(ErrNotFound, "no model"))
	if got := FromStatus(ToStatus(New(ErrUnavailable, "ask the provider: %w", inner))); !errors.Is(got, ErrUnavailable) {
		t.Errorf("arrived as %v", got)
	}
}

func TestLongAndBrokenTextIsMadeToFit(t *testing.T) {
	e := New(ErrNotFound, "%s", strings.Repeat("\xff\u00e9", 1<<17)).WithRemedy("%s", strings.Repeat("r", 1<<17)).WithReason("long")
	e.Fields = map[string]string{"f": strings.Repeat("f", 1<<17)}
	st, _ := status.FromError(ToStatus(e))
	if n := proto.Size(st.Proto()); n > 16<<10 {
		t.Errorf("the status takes %d bytes", n)
	}
	if _, err := proto.Marshal(st.Proto()); err != nil {
		t.Error(err)
	}
	var got *Error
	if !errors.As(FromStatus(st.Err()), &got) || !errors.Is(got, ErrNotFound) || got.Reason != "long" || !strings.HasSuffix(got.Remedy, "(cut)") {
		t.Errorf("arrived as %.200q, reason %q", got.Message, got.Reason)
	}
}
