package monitor

import (
	"context"
	"net"

	"github.com/voidbox-run/voidbox/internal/vmlifecycle"
	"github.com/voidbox-run/voidbox/internal/vmlink"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/args"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/vsock"
)

// Capabilities are what this monitor can do on this system.
func Capabilities() []string { return []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink} }

// linkKinds are the kinds of link that there are devices for.
func linkKinds() []vmm.LinkKind { return []vmm.LinkKind{vmm.LinkNet, vmm.LinkFS} }

func serveDevice(d virtio.Device) func(*net.UnixConn) error {
	return func(conn *net.UnixConn) error { return vhostuser.Serve(context.Background(), conn, d) }
}

func lendVsock(v *vmm.Vsock) (*lent, error) {
	dev, err := vsock.New(vsock.Config{GuestCID: uint64(v.GuestCID), Path: v.SocketPath})
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "vsock device: %w", err)
	}
	return &lent{name: "vsock", serve: serveDevice(dev), close: dev.Close}, nil
}

// lendLinked makes the device behind the machine's link number i.
func lendLinked(ctx context.Context, i int, spec vmm.Link, events *vmlifecycle.Events) (*lent, error) {
	d := &lent{linked: &spec}
	if spec.Kind == vmm.LinkNet {
		d.carrier = newCarrier(args.LinkName(i))
	}
	dev, err := vmlink.Open(ctx, spec, func(up bool, why error) {
		events.Add(vmlink.Event(spec.ID, up, why))
		if d.carrier != nil {
			d.carrier.set(up)
		}
	})
	if err != nil {
		return nil, err
	}
	d.name, d.serve, d.close, d.metrics, d.relink = dev.Name(), serveDevice(dev.Virtio()), dev.Close, dev.Metrics, dev.Relink
	return d, nil
}
