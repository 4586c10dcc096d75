//go:build linux

package device

import (
	"fmt"
	"strings"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"

	"github.com/voidbox-run/voidbox/internal/tap"
)

// Names, in which the kernel fills in a number that is free.
const (
	freeName    = "vbtap%d"
	makingName  = "vbmake%d" // of a device that is being made
	makingStart = "vbmake"
)

// construct makes a device, with its queues, that is gone when they are closed.
func construct(h *netlink.Handle, o Options) (*Device, error) {
	sweep(h)
	first, err := water.New(water.Config{DeviceType: water.TAP, PlatformSpecificParams: water.PlatformSpecificParams{
		Name: makingName, MultiQueue: true, Persist: true,
	}})
	if err != nil {
		return nil, explain(o.Name, err)
	}
	d := &Device{Name: first.Name()}
	_ = first.Close() // for the header, ours has to be its only queue
	q, err := tap.Open(d.Name, true)
	if err != nil {
		sweep(h)
		return nil, explain(d.Name, err)
	}
	d.Queues = []*tap.Queue{q}
	if err := q.SetPersistent(false); err != nil {
		_, _ = d.orClosed(err)
		sweep(h)
		return nil, err
	}
	if err := d.rename(h, o.Name); err != nil {
		return d.orClosed(explain(o.Name, err))
	}
	return d.orClosed(d.open(h, o.Queues, true))
}

// rename gives the device its name, or one that is free.
func (d *Device) rename(h *netlink.Handle, name string) error {
	if name == "" {
		name = freeName
	}
	l, err := h.LinkByName(d.Name)
	if err != nil {
		return err
	}
	if err := h.LinkSetName(l, name); err != nil {
		return fmt.Errorf("rename %s: %w", d.Name, err)
	}
	if l, err = h.LinkByIndex(l.Attrs().Index); err == nil {
		d.Name = l.Attrs().Name
	}
	return err
}

// sweep removes what somebody left who was killed while making a device. One that is being made loses nothing by it: whoever opens
// its queue next makes it anew.
func sweep(h *netlink.Handle) {
	all, err := h.LinkList()
	if err != nil {
		return
	}
	for _, l := range all {
		if t, ok := l.(*netlink.Tuntap); ok && strings.HasPrefix(t.Attrs().Name, makingStart) && !t.NonPersist && t.Queues+t.DisabledQueues == 0 {
			_ = h.LinkDel(t)
		}
	}
}
