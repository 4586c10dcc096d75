//go:build !linux

package monitor

import (
	"context"
	"errors"
	"net"

	"github.com/voidbox-run/voidbox/internal/vmlifecycle"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Capabilities are what this monitor can do on this system.
func Capabilities() []string { return []string{vmm.CapPause} }

// linkKinds is empty: links need memfds and eventfds, which Linux alone has.
func linkKinds() []vmm.LinkKind { return nil }

func lendVsock(*vmm.Vsock) (*lent, error) {
	return nil, errdef.New(errdef.ErrUnsupported, "the qemu backend has no vsock device on this system yet")
}

func lendLinked(_ context.Context, _ int, l vmm.Link, _ *vmlifecycle.Events) (*lent, error) {
	return nil, errdef.New(errdef.ErrUnsupported, "the qemu backend has no %s devices on this system yet", l.Kind)
}

// door is of no use without network cards.
type door struct{ name string }

func openDoor() (*door, error) { return nil, errors.ErrUnsupported }

func (*door) admit(*process) (*net.UnixConn, error) { return nil, errors.ErrUnsupported }

func (*door) close() {}
