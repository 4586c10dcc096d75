package args

import (
	"fmt"
	"maps"
	"net"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// LinkName is the id of the device behind the machine's link number i, by which QMP knows it.
func LinkName(i int) string { return fmt.Sprintf("link%d", i) }

// BackEnd is where QEMU finds the vhost-user back end of a device.
type BackEnd struct {
	FD      int    // inherited stream socket; else
	Address string // abstract unix address, which QEMU connects to
}

func (b BackEnd) chardev(name string) string {
	if b.Address != "" {
		return fmt.Sprintf("socket,id=%s,path=%s,abstract=on,tight=on", name, b.Address)
	}
	return fmt.Sprintf("socket,id=%s,fd=%d", name, b.FD)
}

// linkArgs are those of a device whose queues are lent to a vhost-user back end.
func linkArgs(i int, l vmm.Link, b BackEnd) []string {
	if l.Kind == vmm.LinkFS {
		return fsArgs(i, l, b)
	}
	return netArgs(i, l, b)
}

// withoutControl are the features that need a control queue. It stays with QEMU, which cannot pass on to the back end what a
// driver asks for there: to filter what it receives, or to change its offloads.
var withoutControl = map[string]any{
	"ctrl_rx": false, "ctrl_rx_extra": false, "ctrl_vlan": false, "ctrl_mac_addr": false, "ctrl_guest_offloads": false,
	"guest_announce": false,
}

func netArgs(i int, l vmm.Link, b BackEnd) []string {
	queues, name := max(l.Queues, 1), LinkName(i)
	device := map[string]any{
		"driver": "virtio-net-device", "id": name, "netdev": name + "-back-end", "mac": net.HardwareAddr(l.MAC).String(), "host_mtu": l.MTU,
		"ctrl_vq": queues > 1, "mq": queues > 1, // the number of queues that a driver uses is all that it may ask for
	}
	maps.Copy(device, withoutControl)
	return []string{
		"-chardev", b.chardev(name),
		"-netdev", fmt.Sprintf("vhost-user,id=%s-back-end,chardev=%s,queues=%d", name, name, queues),
		"-device", mustJSON(device),
	}
}

func fsArgs(i int, l vmm.Link, b BackEnd) []string {
	name := LinkName(i)
	return []string{
		"-chardev", b.chardev(name),
		"-device", mustJSON(map[string]any{
			"driver": "vhost-user-fs-device", "id": name, "chardev": name, "tag": l.ID, "num-request-queues": max(l.Queues, 1),
		}),
	}
}
