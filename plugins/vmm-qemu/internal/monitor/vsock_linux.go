package monitor

import (
	"context"
	"net"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/vsock"
)

// socketDevice is the vsock device, whose queues QEMU lends us.
type socketDevice struct{ dev *vsock.Device }

func newSocketDevice(v *vmm.Vsock) (*socketDevice, error) {
	dev, err := vsock.New(vsock.Config{GuestCID: uint64(v.GuestCID), Path: v.SocketPath})
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "vsock device: %w", err)
	}
	return &socketDevice{dev: dev}, nil
}

// serve drives the device until QEMU hangs up.
func (d *socketDevice) serve(conn *net.UnixConn) error {
	return vhostuser.Serve(context.Background(), conn, d.dev)
}

// Close removes the host's socket.
func (d *socketDevice) Close() error { return d.dev.Close() }
