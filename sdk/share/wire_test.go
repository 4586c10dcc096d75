package share_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

type fake struct {
	attachment share.Attachment
	state      []byte
}

func (f *fake) Attach(_ context.Context, a share.Attachment) (string, error) {
	if f.attachment.Mounts != nil {
		return "", errdef.New(errdef.ErrState, "attached already")
	}
	f.attachment = a
	return "/run/link", nil
}
func (f *fake) SaveHandles(context.Context) ([]byte, error) { return []byte("handles"), nil }
func (f *fake) LoadHandles(_ context.Context, state []byte) (int, error) {
	f.state = state
	return 2, nil
}
func (f *fake) Stats(context.Context) (map[string]uint64, error) {
	return map[string]uint64{"ops.read": 7}, nil
}

func dial(t *testing.T, f *fake) share.Share {
	return share.NewClient(sdk.TestConn(t, sdk.Plugin{Name: "fake", Version: "1.0.0", Share: f}, "{}"))
}

func attachment() share.Attachment {
	return share.Attachment{RequestQueues: 2, Mounts: []share.Mount{
		{HostPath: "/src", Tag: "src"},
		{HostPath: "/work", Tag: "work", Mode: share.ReadWrite, Cache: share.CacheAlways, IDMap: &share.IDMap{HostUID: 1, HostGID: 2, GuestUID: 3, GuestGID: 4}},
		{HostPath: "/base", Tag: "base", Mode: share.Overlay, UpperPath: "/upper", Cache: share.CacheAuto},
	}}
}

func TestEveryFieldTravels(t *testing.T) {
	f := &fake{}
	s, ctx := dial(t, f), t.Context()
	if path, err := s.Attach(ctx, attachment()); path != "/run/link" || err != nil {
		t.Errorf("link %q, %v", path, err)
	}
	if diff := cmp.Diff(attachment(), f.attachment); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Attach(ctx, attachment()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("second attachment: %v", err)
	}
	state, err := s.SaveHandles(ctx)
	if string(state) != "handles" || err != nil {
		t.Errorf("state %q, %v", state, err)
	}
	if stale, err := s.LoadHandles(ctx, state); stale != 2 || err != nil || string(f.state) != "handles" {
		t.Errorf("stale %d, %v", stale, err)
	}
	if stats, err := s.Stats(ctx); stats["ops.read"] != 7 || err != nil {
		t.Errorf("stats %v, %v", stats, err)
	}
}

func TestBadAttachmentsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*share.Attachment){
		"no mounts":         func(a *share.Attachment) { a.Mounts = nil },
		"many mounts":       func(a *share.Attachment) { a.Mounts = make([]share.Mount, 1000) },
		"many queues":       func(a *share.Attachment) { a.RequestQueues = 1000 },
		"relative path":     func(a *share.Attachment) { a.Mounts[0].HostPath = "src" },
		"path with zero":    func(a *share.Attachment) { a.Mounts[0].HostPath = "/a\x00b" },
		"long path":         func(a *share.Attachment) { a.Mounts[0].HostPath = "/" + strings.Repeat("a", 5000) },
		"no tag":            func(a *share.Attachment) { a.Mounts[0].Tag = "" },
		"tag goes up":       func(a *share.Attachment) { a.Mounts[0].Tag = ".." },
		"tag is a path":     func(a *share.Attachment) { a.Mounts[0].Tag = "a/b" },
		"same tag twice":    func(a *share.Attachment) { a.Mounts[1].Tag = "src" },
		"no upper":          func(a *share.Attachment) { a.Mounts[2].UpperPath = "" },
		"upper for nothing": func(a *share.Attachment) { a.Mounts[0].UpperPath = "/upper" },
		"unknown cache":     func(a *share.Attachment) { a.Mounts[0].Cache = "sometimes" },
		"unknown mode":      func(a *share.Attachment) { a.Mounts[0].Mode = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			a := attachment()
			spoil(&a)
			if _, err := dial(t, &fake{}).Attach(t.Context(), a); !errors.Is(err, errdef.ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
}
