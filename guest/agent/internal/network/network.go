// Package network configures the guest's interfaces by netlink, without any program of the image: a missing "ip" must not
// be what a boot fails of.
package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// Configure brings the loopback up, then every interface of n. Resolvers are written to /etc/resolv.conf below root.
func Configure(n boot.Network, root string) error {
	if err := loopback(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if len(n.Interfaces) == 0 && len(n.DNS) == 0 {
		return nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, i := range n.Interfaces {
		if err := configure(i, links); err != nil {
			return fmt.Errorf("interface %s: %w", i.MAC, err)
		}
	}
	return writeResolvers(n, root)
}

// loopback brings lo up, which gives it its addresses. Most machines have nothing else, and under emulation the first use of
// netlink costs thirty milliseconds that two ioctls do not.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

func configure(i boot.Interface, links []netlink.Link) error {
	link, err := find(i.MAC, links)
	if err != nil {
		return err
	}
	if i.MTU > 0 {
		if err := netlink.LinkSetMTU(link, i.MTU); err != nil {
			return fmt.Errorf("mtu %d: %w", i.MTU, err)
		}
	}
	for _, address := range i.Addresses {
		if err := addAddress(link, address); err != nil {
			return fmt.Errorf("address %s: %w", address, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	for _, gateway := range i.Gateways {
		if err := addDefault(link, gateway); err != nil {
			return fmt.Errorf("gateway %s: %w", gateway, err)
		}
	}
	return nil
}

func find(mac string, links []netlink.Link) (netlink.Link, error) {
	wanted, err := net.ParseMAC(mac)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, link := range links {
		attrs := link.Attrs()
		if bytes.Equal(attrs.HardwareAddr, wanted) {
			return link, nil
		}
		names = append(names, fmt.Sprintf("%s %s", attrs.Name, attrs.HardwareAddr))
	}
	return nil, fmt.Errorf("there is none; the machine has %s", strings.Join(names, ", "))
}

// addAddress skips duplicate address detection: there is nobody else on the link, and an address under test cannot be used.
func addAddress(link netlink.Link, address string) error {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return err
	}
	ip := prefix.Addr().AsSlice()
	a := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(prefix.Bits(), len(ip)*8)}}
	if prefix.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrAdd(link, a)
}

// addDefault adds a default route. The gateway counts as reachable on the link, whatever the prefix of the address is.
func addDefault(link netlink.Link, gateway string) error {
	address, err := netip.ParseAddr(gateway)
	if err != nil {
		return err
	}
	size := len(address.AsSlice())
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       &net.IPNet{IP: make(net.IP, size), Mask: make(net.IPMask, size)},
		Gw:        address.AsSlice(),
		Flags:     int(netlink.FLAG_ONLINK),
	})
}

func writeResolvers(n boot.Network, root string) error {
	if len(n.DNS) == 0 {
		return nil
	}
	var b strings.Builder
	for _, address := range n.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", address)
	}
	if len(n.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(n.Search, " "))
	}
	file := root + "/etc/resolv.conf"
	// Images ship a link into a directory that only their own init would fill.
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		_ = os.Remove(file)
	}
	err := os.MkdirAll(root+"/etc", 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(b.String()), 0o644)
	}
	if errors.Is(err, unix.EROFS) {
		err = cover(file, root+"/run/resolv.conf", b.String())
	}
	if err != nil {
		return fmt.Errorf("resolvers: %w", err)
	}
	return nil
}

// cover mounts a file of our own over one that cannot be written.
func cover(file, own, content string) error {
	if err := os.WriteFile(own, []byte(content), 0o644); err != nil {
		return err
	}
	return unix.Mount(own, file, "", unix.MS_BIND, "")
}
