package monitor

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"

	"github.com/voidbox-run/voidbox/internal/vmlink"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vhost"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio/balloon"
	"github.com/voidbox-run/voidbox/virtio/block"
	"github.com/voidbox-run/voidbox/virtio/console"
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
		m := map[string]uint64{"actual_bytes": actual, "target_bytes": target, "discarded_bytes": dev.Discarded()}
		// What the guest says of its memory is as old as the last look at the metrics, and may be a lie.
		if s, ok := dev.LatestStats(); ok {
			maps.Copy(m, map[string]uint64{
				"guest.total_bytes": s.Total, "guest.free_bytes": s.Free, "guest.available_bytes": s.Available, "guest.disk_cache_bytes": s.DiskCaches,
				"guest.major_faults": s.MajorFaults, "guest.minor_faults": s.MinorFaults, "guest.swap_in_bytes": s.SwapIn, "guest.swap_out_bytes": s.SwapOut,
			})
		}
		return m
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
	d, err := vmlink.Open(ctx, spec, func(up bool, why error) { m.events.Add(vmlink.Event(spec.ID, up, why)) })
	if err != nil {
		return nil, err
	}
	return &fitting{name: d.Name(), device: d.Virtio(), close: d.Close, metrics: d.Metrics, linked: d}, nil
}
