package monitor

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// lent is a device model of ours, whose queues QEMU lends us.
type lent struct {
	name    string                         // for logs and counters
	serve   func(conn *net.UnixConn) error // drives the device until QEMU hangs up
	close   func() error
	metrics func() map[string]uint64                       // nil where there are none
	linked  *vmm.Link                                      // of a device behind a link
	relink  func(ctx context.Context, socket string) error // of a device behind a link
	carrier *carrier                                       // of a network card
}

// lentDevices are those of one VM: the socket device first, where there is one, then the machine's links in their order.
type lentDevices []*lent

// lend makes the devices of a machine that QEMU does not have itself.
func (m *Monitor) lend(ctx context.Context, spec vmm.Machine) (all lentDevices, err error) {
	defer func() {
		if err != nil {
			all.close()
		}
	}()
	if spec.Vsock != nil {
		d, err := lendVsock(spec.Vsock)
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	for i, l := range spec.Links {
		d, err := lendLinked(ctx, i, l, m.events)
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (all lentDevices) close() {
	for _, d := range all {
		if err := d.close(); err != nil {
			slog.Warn("close a device", "device", d.name, "error", err)
		}
	}
}

func (all lentDevices) addMetrics(counters map[string]uint64) {
	for _, d := range all {
		if d.metrics == nil {
			continue
		}
		for name, value := range d.metrics() {
			counters[d.name+"."+name] = value
		}
	}
}

// behind returns the device behind a link.
func (all lentDevices) behind(l vmm.Link) *lent {
	for _, d := range all {
		if d.linked != nil && d.linked.ID == l.ID && d.linked.Kind == l.Kind {
			return d
		}
	}
	return nil
}

// serve drives one of them until QEMU hangs up. A QEMU that breaks the protocol has lost its device for good, and ends.
func (v *vm) serve(d *lent, b berth) {
	conn, err := b.connection(v.proc)
	if err == nil {
		err = d.serve(conn)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) && !v.asked.Load() {
		slog.Error("lent queues", "device", d.name, "error", err)
		v.proc.kill()
	}
}
