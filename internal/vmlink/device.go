//go:build linux

package vmlink

import (
	"context"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/fs"
	"github.com/voidbox-run/voidbox/virtio/net"
)

// Device is a virtio device behind a link.
type Device struct {
	Spec vmm.Link
	// Metrics reads the device's counters.
	Metrics func() map[string]uint64

	model model
}

// model is what the two device models have in common.
type model interface {
	virtio.Device
	Ask() link.Ask
	Relink(*link.Link) error
	Close() error
}

// Open dials the process at the other end and makes the device. onLink is told when the link goes down, and when Relink brings a
// new one; it must neither wait nor call the device.
func Open(ctx context.Context, spec vmm.Link, onLink func(up bool, why error)) (*Device, error) {
	open := openNet
	if spec.Kind == vmm.LinkFS {
		open = openFS
	}
	d, err := open(ctx, spec, onLink)
	if err != nil {
		return nil, errdef.New(errdef.ErrUnavailable, "link %s: %w", spec.ID, err)
	}
	d.Spec = spec
	return d, nil
}

func openNet(ctx context.Context, spec vmm.Link, onLink func(bool, error)) (*Device, error) {
	pairs := max(spec.Queues, 1)
	l, err := link.Dial(ctx, spec.SocketPath, net.Ask(pairs))
	if err != nil {
		return nil, err
	}
	dev, err := net.New(net.Config{MAC: [6]byte(spec.MAC), MTU: spec.MTU, Pairs: pairs, Link: l, OnLink: onLink})
	if err != nil {
		return nil, err
	}
	return &Device{model: dev, Metrics: func() map[string]uint64 {
		s := dev.Metrics()
		return map[string]uint64{
			"tx_frames": s.TxFrames, "tx_bytes": s.TxBytes, "rx_frames": s.RxFrames, "rx_bytes": s.RxBytes,
			"tx_invalid": s.TxInvalid, "tx_no_carrier": s.TxNoCarrier, "rx_invalid": s.RxInvalid, "rx_too_large": s.RxTooLarge,
			"rx_inactive": s.RxInactive, "link_downs": s.LinkDowns,
		}
	}}, nil
}

func openFS(ctx context.Context, spec vmm.Link, onLink func(bool, error)) (*Device, error) {
	queues := max(spec.Queues, 1)
	l, err := link.Dial(ctx, spec.SocketPath, fs.Ask(queues))
	if err != nil {
		return nil, err
	}
	dev, err := fs.New(fs.Config{Tag: spec.ID, Queues: queues, Link: l, OnLink: onLink})
	if err != nil {
		return nil, err
	}
	return &Device{model: dev, Metrics: func() map[string]uint64 {
		s := dev.Metrics()
		return map[string]uint64{
			"requests": s.Requests, "request_bytes": s.RequestBytes, "replies": s.Replies, "reply_bytes": s.ReplyBytes, "notices": s.Notices,
			"in_flight": uint64(max(s.InFlight, 0)), "invalid": s.Invalid, "bad_replies": s.BadReplies, "failed": s.Failed,
			"link_downs": s.LinkDowns,
		}
	}}, nil
}

// Name is the device's, for logs and counters.
func (d *Device) Name() string { return string(d.Spec.Kind) + "." + d.Spec.ID }

// Virtio is the device model itself.
func (d *Device) Virtio() virtio.Device { return d.model }

// Is tells whether l means this device.
func (d *Device) Is(l vmm.Link) bool { return d.Spec.ID == l.ID && d.Spec.Kind == l.Kind }

// Relink gives the device a link to the process that listens at socket, in the place of the one that it has.
func (d *Device) Relink(ctx context.Context, socket string) error {
	l, err := link.Dial(ctx, socket, d.model.Ask())
	if err != nil {
		return errdef.New(errdef.ErrUnavailable, "link %s: %w", d.Spec.ID, err)
	}
	return d.model.Relink(l)
}

// Close takes the link down.
func (d *Device) Close() error { return d.model.Close() }

// Event tells of a link that went down or came up.
func Event(id string, up bool, why error) vmm.Event {
	if up {
		return vmm.Event{Kind: vmm.LinkUp, Device: id}
	}
	e := vmm.Event{Kind: vmm.LinkDown, Device: id}
	if why != nil {
		e.Detail = why.Error()
	}
	return e
}

// Unknown is the error of a link whose device is not there.
func Unknown(l vmm.Link) error {
	return errdef.New(errdef.ErrNotFound, "the VM has no %s device %q", l.Kind, l.ID)
}
