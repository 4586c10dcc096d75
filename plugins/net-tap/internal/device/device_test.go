//go:build linux

package device

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/internal/testnetns"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// holdEnv has this program make a device of that name and wait to be killed.
const holdEnv = "VOIDBOX_HOLD_TAP"

func TestMain(m *testing.M) {
	if name := os.Getenv(holdEnv); name != "" {
		hold(name)
	}
	os.Exit(testnetns.Run(func() int {
		code := m.Run()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}))
}

func hold(name string) {
	o := options()
	o.Name = name
	d, err := Open(o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(d.Name)
	_, _ = os.Stdin.Read(make([]byte, 1)) // for as long as the test lives
	os.Exit(0)
}

func options() Options {
	return Options{
		Queues: 1, MTU: 1400, MAC: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 1},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.2.2/24"), netip.MustParsePrefix("fd00:2::2/64")},
	}
}

func open(t *testing.T, o Options) *Device {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// add makes a device of the host's.
func add(t *testing.T, l netlink.Link) {
	t.Helper()
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatal(err)
	}
	if own, ok := l.(*netlink.Tuntap); ok {
		for _, f := range own.Fds {
			_ = f.Close()
		}
	}
	t.Cleanup(func() { _ = netlink.LinkDel(l) })
}

func existing(name string, flags netlink.TuntapFlag) *netlink.Tuntap {
	t := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP, Flags: flags | netlink.TUNTAP_NO_PI}
	if flags&netlink.TUNTAP_MULTI_QUEUE != 0 {
		t.Queues = 1
	}
	return t
}

func up(t *testing.T, l netlink.Link) {
	t.Helper()
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func isGone(name string) bool {
	_, err := netlink.LinkByName(name)
	missing := new(netlink.LinkNotFoundError)
	return errors.As(err, missing)
}

// want demands an error of a kind that says something, and what can be done.
func want(t *testing.T, err, kind error, says string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, want one that is %v and says %q", err, kind, says)
	}
	if errdef.Remedy(err) == "" {
		t.Errorf("%v: nothing can be done about it", err)
	}
}

func TestMadeDevice(t *testing.T) {
	o := options()
	o.Name, o.Queues = "made0", 3
	d := open(t, o)
	l := find(t, "made0").(*netlink.Tuntap)
	if l.Queues != 3 || l.MTU != 1400 || l.HardwareAddr.String() != o.MAC.String() || l.Attrs().Flags&net.FlagUp == 0 || !l.NonPersist || l.Flags&netlink.TUNTAP_VNET_HDR == 0 {
		t.Errorf("%d queues, MTU %d, MAC %v, flags %v, goes %v, header %v", l.Queues, l.MTU, l.HardwareAddr, l.Attrs().Flags, l.NonPersist, l.Flags)
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil || len(addrs) < 2 {
		t.Errorf("addresses %v, %v", addrs, err)
	}
	if err := d.Close(); err != nil || !isGone("made0") {
		t.Errorf("the device stays: %v", err)
	}
}

func TestNamesAreFree(t *testing.T) {
	first := open(t, options())
	o := options()
	o.Addresses = nil
	second := open(t, o)
	if first.Name == second.Name || !strings.HasPrefix(first.Name, "vbtap") {
		t.Errorf("devices %s and %s", first.Name, second.Name)
	}
}

func TestDeviceGoesWithAKilledProcess(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"=held0")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "held0\n" || isGone("held0") {
		t.Errorf("the other process says %q", line)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); !isGone("held0"); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the device has outlived its process")
		}
	}
}

func TestWhatAKilledProcessLeftIsRemoved(t *testing.T) {
	add(t, existing("vbmake0", netlink.TUNTAP_MULTI_QUEUE))
	used := existing("vbmake1", netlink.TUNTAP_MULTI_QUEUE) // of a process that is making a device
	add(t, used)
	q, err := tap.Open("vbmake1", true)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	open(t, options())
	if !isGone("vbmake0") || isGone("vbmake1") {
		t.Errorf("vbmake0 is gone: %v, vbmake1: %v", isGone("vbmake0"), isGone("vbmake1"))
	}
}

func TestTakenDeviceStaysAsItIs(t *testing.T) {
	for _, flags := range []netlink.TuntapFlag{0, netlink.TUNTAP_MULTI_QUEUE} {
		host := existing("taken0", flags)
		add(t, host)
		up(t, host)
		before := find(t, "taken0").Attrs()
		o := options()
		o.Name = "taken0"
		d := open(t, o)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		after := find(t, "taken0").Attrs()
		if after.MTU != before.MTU || after.HardwareAddr.String() != before.HardwareAddr.String() || after.Index != before.Index {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if addrs, _ := netlink.AddrList(host, netlink.FAMILY_V4); len(addrs) != 0 {
			t.Errorf("it has got addresses: %v", addrs)
		}
		if err := netlink.LinkDel(host); err != nil {
			t.Error(err)
		}
	}
}

func TestDevicesThatCannotBeTaken(t *testing.T) {
	add(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth0"}, PeerName: "veth1"})
	add(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})
	down, single := existing("down0", 0), existing("single0", 0)
	add(t, down)
	add(t, single)
	up(t, single)
	for name, tc := range map[string]struct {
		device, bridge string
		queues         int
		kind           error
		says           string
	}{
		"no TAP":                     {"veth0", "", 1, errdef.ErrInvalid, "veth0 is not a TAP device"},
		"down":                       {"down0", "", 1, errdef.ErrState, "down0 is down"},
		"too few queues":             {"single0", "", 2, errdef.ErrUnsupported, "one queue"},
		"not in the bridge":          {"single0", "br0", 1, errdef.ErrState, "not a port of bridge br0"},
		"a bridge that is not there": {"single0", "nowhere", 1, errdef.ErrNotFound, "no bridge nowhere"},
		"the same for a new one":     {"", "nowhere", 1, errdef.ErrNotFound, "no bridge nowhere"},
		"a bridge that is none":      {"", "veth0", 1, errdef.ErrInvalid, "not a bridge"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Name, o.Bridge, o.Queues = tc.device, tc.bridge, tc.queues
			_, err := Open(o)
			want(t, err, tc.kind, tc.says)
		})
	}
	if taps := countTaps(t); taps != 2 {
		t.Errorf("%d TAP devices, and 2 were there", taps)
	}
}

func countTaps(t *testing.T) int {
	t.Helper()
	all, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range all {
		if _, ok := l.(*netlink.Tuntap); ok {
			n++
		}
	}
	return n
}

func TestDeviceInUse(t *testing.T) {
	for _, flags := range []netlink.TuntapFlag{0, netlink.TUNTAP_MULTI_QUEUE} {
		host := existing("shared0", flags)
		add(t, host)
		up(t, host)
		other, err := tap.Open("shared0", flags != 0)
		if err != nil {
			t.Fatal(err)
		}
		o := options()
		o.Name = "shared0"
		_, err = Open(o)
		want(t, err, errdef.ErrState, "shared0 is in use by another process")
		_ = other.Close()
		d := open(t, o) // and then it is not
		_ = d.Close()
		_ = netlink.LinkDel(host)
	}
	o := options()
	o.Name = "ours0"
	open(t, o)
	_, err := Open(o)
	want(t, err, errdef.ErrState, "ours0 is in use by another process")
}

func TestBridgePort(t *testing.T) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br1"}}
	add(t, bridge)
	o := options()
	o.Bridge = "br1"
	d := open(t, o)
	l := find(t, d.Name)
	if l.Attrs().MasterIndex != find(t, "br1").Attrs().Index {
		t.Error("the device is not a port of the bridge")
	}
	if addrs, _ := netlink.AddrList(l, netlink.FAMILY_V4); len(addrs) != 0 {
		t.Errorf("a port has addresses: %v", addrs)
	}
}

func TestHostIsInTheNetworkAlready(t *testing.T) {
	open(t, options())
	before := countTaps(t)
	_, err := Open(options())
	want(t, err, errdef.ErrExists, "10.0.2.2/24")
	if countTaps(t) != before {
		t.Error("a device is left")
	}
}

// unprivileged opens a device on a thread without capabilities, which ends with its goroutine.
func unprivileged(o Options) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		none := new([2]unix.CapUserData)
		err := unix.Capset(&header, &none[0])
		if err == nil {
			var d *Device
			if d, err = Open(o); err == nil {
				err = d.Close()
			}
		}
		done <- err
	}()
	return <-done
}

func TestWithoutCapability(t *testing.T) {
	err := unprivileged(options())
	want(t, err, errdef.ErrPermission, "CAP_NET_ADMIN")
	if !strings.Contains(errdef.Remedy(err), "setcap") || !strings.Contains(errdef.Remedy(err), "ip tuntap add") {
		t.Errorf("the remedy is %q", errdef.Remedy(err))
	}
	if countTaps(t) != 0 {
		t.Error("a device is left")
	}
}

func TestDeviceOfTheUserNeedsNoCapability(t *testing.T) {
	host := existing("owned0", 0)
	host.Owner = uint32(os.Getuid())
	add(t, host)
	up(t, host)
	o := options()
	o.Name = "owned0"
	if err := unprivileged(o); err != nil {
		t.Error(err)
	}
}
