//go:build linux

package device

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Options say which device, and what it becomes if it has to be made.
type Options struct {
	Name      string // empty: one that is free
	Bridge    string // that it is a port of; empty: none
	Queues    int
	MTU       int
	MAC       net.HardwareAddr // of the host's end, without a bridge
	Addresses []netip.Prefix   // the same
}

// Device is an open TAP device.
type Device struct {
	Name   string
	Queues []*tap.Queue
}

// Open opens the device, in the network namespace of the calling thread.
func Open(o Options) (*Device, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	defer h.Close()
	if o.Name == "" {
		return create(h, o)
	}
	l, err := h.LinkByName(o.Name)
	if missing := new(netlink.LinkNotFoundError); errors.As(err, missing) {
		return create(h, o)
	}
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", o.Name, err)
	}
	return take(h, l, o)
}

// Close closes the queues, and with them a device that was made.
func (d *Device) Close() error {
	var err error
	for _, q := range d.Queues {
		err = errors.Join(err, q.Close())
	}
	return err
}

// take opens a device of the host's.
func take(h *netlink.Handle, l netlink.Link, o Options) (*Device, error) {
	t, ok := l.(*netlink.Tuntap)
	if !ok || t.Mode != netlink.TUNTAP_MODE_TAP {
		return nil, errdef.New(errdef.ErrInvalid, "%s is not a TAP device", o.Name).
			WithRemedy("name one that is, or one that does not exist yet and is to be made")
	}
	several := t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
	if o.Queues > 1 && !several {
		return nil, errdef.New(errdef.ErrUnsupported, "%s has one queue, and %d are asked for", o.Name, o.Queues).
			WithRemedy("make it with: ip tuntap add dev %s mode tap multi_queue", o.Name)
	}
	if t.Attrs().Flags&net.FlagUp == 0 {
		return nil, errdef.New(errdef.ErrState, "%s is down", o.Name).WithRemedy("run: ip link set %s up", o.Name)
	}
	if err := checkPort(h, t, o.Bridge); err != nil {
		return nil, err
	}
	d := &Device{Name: o.Name}
	return d.orClosed(d.open(h, o.Queues, several))
}

// checkPort demands that a device of the host's is in the bridge already: put there by us it would stay there.
func checkPort(h *netlink.Handle, t *netlink.Tuntap, bridge string) error {
	if bridge == "" {
		return nil
	}
	b, err := findBridge(h, bridge)
	if err != nil {
		return err
	}
	if t.Attrs().MasterIndex != b.Attrs().Index {
		return errdef.New(errdef.ErrState, "%s exists, and is not a port of bridge %s", t.Attrs().Name, bridge).
			WithRemedy("run: ip link set %s master %s", t.Attrs().Name, bridge)
	}
	return nil
}

func findBridge(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if missing := new(netlink.LinkNotFoundError); errors.As(err, missing) {
		return nil, errdef.New(errdef.ErrNotFound, "there is no bridge %s", name).
			WithRemedy("run: ip link add %s type bridge && ip link set %s up", name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", name, err)
	}
	if l.Type() != "bridge" {
		return nil, errdef.New(errdef.ErrInvalid, "%s is not a bridge but a device of the kind %s", name, l.Type()).WithRemedy("name a bridge: ip -brief link show type bridge")
	}
	return l, nil
}

// create makes a device and configures it.
func create(h *netlink.Handle, o Options) (*Device, error) {
	var bridge netlink.Link
	var err error
	if o.Bridge != "" {
		if bridge, err = findBridge(h, o.Bridge); err != nil {
			return nil, err
		}
	} else if err := unused(h, o.Addresses); err != nil {
		return nil, err
	}
	d, err := construct(h, o)
	if err != nil {
		return nil, err
	}
	return d.orClosed(d.configure(h, o, bridge))
}

// orClosed returns the device, or closes it if there is an error.
func (d *Device) orClosed(err error) (*Device, error) {
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// open opens queues of the device until there are as many as asked for, and demands that nobody else has any.
func (d *Device) open(h *netlink.Handle, queues int, several bool) error {
	for len(d.Queues) < queues {
		q, err := tap.Open(d.Name, several)
		if err != nil {
			return explain(d.Name, err)
		}
		d.Queues = append(d.Queues, q)
	}
	if !several {
		return nil // and the kernel lets nobody else open it
	}
	l, err := h.LinkByName(d.Name)
	if err != nil {
		return fmt.Errorf("device %s: %w", d.Name, err)
	}
	if t, ok := l.(*netlink.Tuntap); ok && t.Queues+t.DisabledQueues != len(d.Queues) {
		return busy(d.Name)
	}
	return nil
}

// configure makes a new device what it is to be.
func (d *Device) configure(h *netlink.Handle, o Options, bridge netlink.Link) error {
	l, err := h.LinkByName(d.Name)
	if err != nil {
		return fmt.Errorf("device %s: %w", d.Name, err)
	}
	err = h.LinkSetMTU(l, o.MTU)
	if err == nil && bridge != nil {
		err = h.LinkSetMaster(l, bridge)
	}
	if err == nil && bridge == nil {
		err = errors.Join(h.LinkSetHardwareAddr(l, o.MAC), setAddresses(h, l, o.Addresses))
	}
	if err == nil {
		err = h.LinkSetUp(l)
	}
	if err != nil {
		return explain(d.Name, fmt.Errorf("configure: %w", err))
	}
	return nil
}

func setAddresses(h *netlink.Handle, l netlink.Link, addresses []netip.Prefix) error {
	for _, p := range addresses {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // nobody else is there yet
		}
		if err := h.AddrAdd(l, a); err != nil {
			return fmt.Errorf("%v: %w", p, err)
		}
	}
	return nil
}

// unused demands that the host is in none of the networks already: it would have two ways there, and one guest would be cut off.
func unused(h *netlink.Handle, addresses []netip.Prefix) error {
	have, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("addresses of the host: %w", err)
	}
	for _, a := range have {
		ip, ok := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if !ok {
			continue
		}
		there := netip.PrefixFrom(ip.Unmap(), ones)
		for _, p := range addresses {
			if there.IsValid() && p.Overlaps(there) && !there.Addr().IsLinkLocalUnicast() {
				return errdef.New(errdef.ErrExists, "the host is in the guest's network already: it has the address %v", there).
					WithRemedy("use a bridge, to which several guests can be connected, or end what has that address")
			}
		}
	}
	return nil
}

func busy(name string) error {
	return errdef.New(errdef.ErrState, "%s is in use by another process", name).
		WithRemedy("name another device; a network has one of its own")
}

// explain says what can be done about an error of the kernel's.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return busy(name)
	case errors.Is(err, unix.EPERM), errors.Is(err, fs.ErrPermission):
		return errdef.New(errdef.ErrPermission, "%s: %w: network tap needs CAP_NET_ADMIN, or a TAP device that belongs to this user", name, err).
			WithRemedy("run: sudo setcap cap_net_admin+ep $(command -v voidbox-network-tap), " +
				"or make a device: sudo ip tuntap add dev vbtap0 mode tap user $USER && sudo ip link set vbtap0 up, and name it; or use network \"slirp\", which needs neither")
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return errdef.New(errdef.ErrUnavailable, "%s: %w: this kernel has no TAP devices", name, err).WithRemedy("run: modprobe tun")
	}
	return errdef.New(errdef.ErrUnavailable, "%s: %w", name, err)
}
