package monitor

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vhost"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio/balloon"
	"github.com/voidbox-run/voidbox/virtio/block"
	"github.com/voidbox-run/voidbox/virtio/console"
	virtiofs "github.com/voidbox-run/voidbox/virtio/fs"
	virtionet "github.com/voidbox-run/voidbox/virtio/net"
	"github.com/voidbox-run/voidbox/virtio/rng"
	"github.com/voidbox-run/voidbox/virtio/vsock"
)

// maker makes one device of a machine.
type maker func(ctx context.Context) (*fitting, error)

// catalogue lists the devices of a machine in the order of their slots, which is the one in which the guest finds them: disks come
// in the machine's order.
func (m *Monitor) catalogue(v *vm, spec vmm.Machine) []maker {
	all := []maker{
		func(context.Context) (*fitting, error) { return m.newConsole(v) },
		func(context.Context) (*fitting, error) { return &fitting{name: "rng", device: rng.New()}, nil },
		func(context.Context) (*fitting, error) { return newBalloon(v) },
	}
	if spec.Vsock != nil {
		all = append(all, func(context.Context) (*fitting, error) { return m.newVsock(spec.Vsock) })
	}
	for _, d := range spec.Disks {
		all = append(all, func(context.Context) (*fitting, error) { return newDisk(d, spec.CPUs) })
	}
	for _, l := range spec.Links {
		all = append(all, func(ctx context.Context) (*fitting, error) { return m.newLinked(ctx, l) })
	}
	return all
}

// addDevices makes the devices and plugs them in.
func addDevices(ctx context.Context, v *vm, makers []maker) error {
	for _, next := range makers {
		f, err := next(ctx)
		if err != nil {
			return err
		}
		if err := v.plug(f); err != nil {
			return err
		}
	}
	return nil
}

// newConsole is the guest's hvc0, for its programs: quicker than the serial port, which the kernel speaks to from its first moment.
func (m *Monitor) newConsole(v *vm) (*fitting, error) {
	dev, err := console.New(console.Config{Output: m.output(v)})
	return &fitting{name: "console", device: dev}, err
}

func newBalloon(v *vm) (*fitting, error) {
	dev, err := balloon.New(balloon.Config{Memory: v.ram})
	if err != nil {
		return nil, err
	}
	return &fitting{name: "balloon", device: dev, metrics: func() map[string]uint64 {
		actual, target := dev.Size()
		return map[string]uint64{"actual_bytes": actual, "target_bytes": target, "discarded_bytes": dev.Discarded()}
	}}, nil
}

func (m *Monitor) newVsock(spec *vmm.Vsock) (*fitting, error) {
	if m.opt.Vsock == VsockVhost {
		dev, err := vhost.New(spec.SocketPath)
		if err != nil {
			return nil, errdef.New(kindOf(err), "vsock device: %w", err)
		}
		return &fitting{name: "vsock", device: dev, close: dev.Close, kicks: dev.Kicks}, nil
	}
	dev, err := vsock.New(vsock.Config{GuestCID: uint64(spec.GuestCID), Path: spec.SocketPath})
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "vsock device: %w", err)
	}
	return &fitting{name: "vsock", device: dev, close: dev.Close}, nil
}

func newDisk(spec vmm.Disk, queues int) (*fitting, error) {
	flag := os.O_RDWR
	if spec.ReadOnly {
		flag = os.O_RDONLY
	}
	file, err := os.OpenFile(spec.Path, flag, 0)
	if err != nil {
		return nil, errdef.New(kindOf(err), "disk %s: %w", spec.ID, err)
	}
	dev, err := block.New(file, block.Options{ReadOnly: spec.ReadOnly, Serial: spec.ID, Queues: queues})
	if err != nil {
		_ = file.Close()
		return nil, errdef.New(kindOf(err), "disk %s: %s: %w", spec.ID, spec.Path, err)
	}
	return &fitting{name: "disk." + spec.ID, device: dev, close: dev.Close, metrics: func() map[string]uint64 {
		s := dev.Stats()
		return map[string]uint64{
			"reads": s.Reads, "writes": s.Writes, "flushes": s.Flushes, "discards": s.Discards, "write_zeroes": s.WriteZeroes,
			"read_bytes": s.ReadBytes, "written_bytes": s.WrittenBytes, "errors": s.Errors, "waited": s.Waited,
		}
	}}, nil
}

// kindOf says what kind of error one of a file is to the caller.
func kindOf(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errdef.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return errdef.ErrPermission
	}
	return errdef.ErrInvalid
}

// newLinked makes a device behind a link.
func (m *Monitor) newLinked(ctx context.Context, spec vmm.Link) (*fitting, error) {
	f, err := m.dialLinked(ctx, spec)
	if err != nil {
		return nil, errdef.New(errdef.ErrUnavailable, "link %s: %w", spec.ID, err)
	}
	f.name, f.link = string(spec.Kind)+"."+spec.ID, &spec
	return f, nil
}

func (m *Monitor) dialLinked(ctx context.Context, spec vmm.Link) (*fitting, error) {
	queues := max(spec.Queues, 1)
	if spec.Kind == vmm.LinkFS {
		l, err := link.Dial(ctx, spec.SocketPath, virtiofs.Ask(queues))
		if err != nil {
			return nil, err
		}
		dev, err := virtiofs.New(virtiofs.Config{Tag: spec.ID, Queues: queues, Link: l, OnLink: m.onLink(spec.ID)})
		if err != nil {
			return nil, err
		}
		return &fitting{device: dev, close: dev.Close, relink: relinker(dev), metrics: func() map[string]uint64 {
			s := dev.Metrics()
			return map[string]uint64{
				"requests": s.Requests, "request_bytes": s.RequestBytes, "replies": s.Replies, "reply_bytes": s.ReplyBytes, "notices": s.Notices,
				"in_flight": uint64(max(s.InFlight, 0)), "invalid": s.Invalid, "bad_replies": s.BadReplies, "failed": s.Failed,
				"link_downs": s.LinkDowns,
			}
		}}, nil
	}
	l, err := link.Dial(ctx, spec.SocketPath, virtionet.Ask(queues))
	if err != nil {
		return nil, err
	}
	dev, err := virtionet.New(virtionet.Config{MAC: [6]byte(spec.MAC), MTU: spec.MTU, Pairs: queues, Link: l, OnLink: m.onLink(spec.ID)})
	if err != nil {
		return nil, err
	}
	return &fitting{device: dev, close: dev.Close, relink: relinker(dev), metrics: func() map[string]uint64 {
		s := dev.Metrics()
		return map[string]uint64{
			"tx_frames": s.TxFrames, "tx_bytes": s.TxBytes, "rx_frames": s.RxFrames, "rx_bytes": s.RxBytes,
			"tx_invalid": s.TxInvalid, "tx_no_carrier": s.TxNoCarrier, "rx_invalid": s.RxInvalid, "rx_too_large": s.RxTooLarge,
			"rx_inactive": s.RxInactive, "link_downs": s.LinkDowns,
		}
	}}, nil
}

// relinker gives a device a link to another process.
func relinker(dev interface {
	Ask() link.Ask
	Relink(*link.Link) error
}) func(context.Context, string) error {
	return func(ctx context.Context, socket string) error {
		l, err := link.Dial(ctx, socket, dev.Ask())
		if err != nil {
			return errdef.New(errdef.ErrUnavailable, "%w", err)
		}
		return dev.Relink(l)
	}
}

// onLink tells of a device that loses or gets its link.
func (m *Monitor) onLink(id string) func(up bool, why error) {
	return func(up bool, why error) {
		e := vmm.Event{Kind: vmm.LinkUp, Device: id}
		if !up {
			e.Kind = vmm.LinkDown
			if why != nil {
				e.Detail = why.Error()
			}
		}
		m.events.Add(e)
	}
}
