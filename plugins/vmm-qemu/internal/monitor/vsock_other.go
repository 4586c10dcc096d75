//go:build !linux

package monitor

import (
	"net"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// socketDevice needs eventfds, which Linux alone has.
type socketDevice struct{}

func newSocketDevice(*vmm.Vsock) (*socketDevice, error) {
	return nil, errdef.New(errdef.ErrUnsupported, "the qemu backend has no vsock device on this system yet")
}

func (*socketDevice) serve(*net.UnixConn) error { return nil }

// Close does nothing.
func (*socketDevice) Close() error { return nil }
