//go:build linux

package taplink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/tap"
)

// Guest says how the kernel of a namespace is to play the guest.
type Guest struct {
	Name      string // of the TAP
	MAC       net.HardwareAddr
	MTU       int
	Addresses []netip.Prefix
	Gateways  []netip.Addr
}

// InNamespace runs do on a thread in the network namespace of a file such as /run/netns/x, a new one if path is empty, and returns
// to the present one. A new namespace lives as long as something refers to it, such as the files and processes that do made.
func InNamespace(path string, do func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return err
	}
	defer home.Close()
	if err := enter(path); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %q: %w", path, err)
	}
	err = do()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // and the thread stays locked, so that it ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

func enter(path string) error {
	if path == "" {
		return unix.Unshare(unix.CLONE_NEWNET)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// Make makes the TAP with addresses and routes, in the calling thread's namespace.
func (g Guest) Make() (*tap.Queue, error) {
	q, err := tap.Open(g.Name, false)
	if err != nil {
		return nil, err
	}
	if err := g.configure(); err != nil {
		_ = q.Close()
		return nil, fmt.Errorf("configure %s: %w", g.Name, err)
	}
	return q, nil
}

func (g Guest) configure() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE) // of this namespace
	if err != nil {
		return err
	}
	defer h.Close()
	if lo, err := h.LinkByName("lo"); err == nil {
		_ = h.LinkSetUp(lo)
	}
	dev, err := h.LinkByName(g.Name)
	if err != nil {
		return err
	}
	if err := errors.Join(h.LinkSetHardwareAddr(dev, g.MAC), h.LinkSetMTU(dev, g.MTU), h.LinkSetTxQLen(dev, 1000)); err != nil {
		return err
	}
	for _, p := range g.Addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(dev, addr); err != nil {
			return fmt.Errorf("address %v: %w", p, err)
		}
	}
	if err := h.LinkSetUp(dev); err != nil {
		return err
	}
	for _, gw := range g.Gateways {
		if err := h.RouteAdd(&netlink.Route{LinkIndex: dev.Attrs().Index, Gw: gw.AsSlice()}); err != nil {
			return fmt.Errorf("gateway %v: %w", gw, err)
		}
	}
	return nil
}
