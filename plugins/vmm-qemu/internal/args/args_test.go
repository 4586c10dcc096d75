package args

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

var (
	tcg   = Host{Arch: "amd64", OS: "linux", Accelerator: "tcg", TSCKHz: 2596000}
	kvm   = Host{Arch: "amd64", OS: "linux", Accelerator: "kvm", TSCKHz: 2596000}
	files = Files{QMP: 3, Console: 4, Initrd: 5, Vsock: 6}
	box   = vmm.Machine{Name: "box", KernelPath: "/k", CommandLine: "debug", CPUs: 2, MemoryBytes: 128<<20 + 1}
)

func TestEmulatedMachine(t *testing.T) {
	want := []string{
		"-name", "guest=box", "-nodefaults", "-no-user-config", "-display", "none", "-S", "-no-reboot",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-M", "microvm,acpi=on,rtc=on,memory-backend=mem", "-object", "memory-backend-memfd,id=mem,share=on,size=135266304",
		"-m", "135266304B", "-smp", "2", "-accel", "tcg,thread=multi", "-cpu", "max",
		"-kernel", "/k", "-append", "console=ttyS0 loglevel=5 panic=-1 rcupdate.rcu_expedited=1 no_timer_check tsc_early_khz=2596000 noreplace-smp debug",
		"-initrd", "/dev/fd/5",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=console,fd=4", "-serial", "chardev:console",
		"-global", "virtio-mmio.force-legacy=false",
		"-object", "rng-builtin,id=rng", "-device", "virtio-rng-device,rng=rng",
		"-chardev", "socket,id=vsock,fd=6", "-device", "vhost-user-vsock-device,chardev=vsock",
	}
	if diff := cmp.Diff(want, Build(box, tcg, files)); diff != "" {
		t.Error(diff)
	}
}

func TestHardwareMachineKeepsItsOwnClock(t *testing.T) {
	line := strings.Join(Build(box, kvm, files), " ")
	for _, want := range []string{"-accel kvm", "-cpu host"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is missing in %s", want, line)
		}
	}
	if strings.Contains(line, "tsc_early_khz") {
		t.Error("a clock figure for emulation is on the command line")
	}
}

func TestAbsentFilesLeaveNoTrace(t *testing.T) {
	line := strings.Join(Build(box, tcg, Files{QMP: 3, Console: 4}), " ")
	for _, unwanted := range []string{"-initrd", "vsock", "-blockdev", "fd=0"} {
		if strings.Contains(line, unwanted) {
			t.Errorf("%q is in %s", unwanted, line)
		}
	}
}

func TestOtherSystems(t *testing.T) {
	line := strings.Join(Build(box, Host{Arch: "arm64", OS: "darwin", Accelerator: "hvf"}, files), " ")
	for _, want := range []string{"-M virt,acpi=on", "memory-backend-shm", "-accel hvf", "console=ttyAMA0"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is missing in %s", want, line)
		}
	}
	if strings.Contains(line, "-sandbox") {
		t.Error("seccomp asked for on a system without it")
	}
}

func TestDiskPathIsOnlyData(t *testing.T) {
	m := box
	m.Disks = []vmm.Disk{{ID: "root", Path: `/tmp/a,driver=host_device",x="`, ReadOnly: true}}
	line := Build(m, tcg, files)
	at := slices.Index(line, "-blockdev")
	var got struct {
		ReadOnly bool `json:"read-only"`
		File     struct{ Filename string }
	}
	if err := json.Unmarshal([]byte(line[at+1]), &got); err != nil {
		t.Fatal(err)
	}
	if got.File.Filename != m.Disks[0].Path || !got.ReadOnly {
		t.Errorf("the disk became %+v", got)
	}
	if !strings.Contains(line[at+3], `"serial":"root"`) {
		t.Errorf("device %s has no serial", line[at+3])
	}
}

func TestLinks(t *testing.T) {
	m := box
	m.Links = []vmm.Link{
		{Kind: vmm.LinkNet, ID: "eth", MAC: []byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}, MTU: 1500},
		{Kind: vmm.LinkNet, ID: "more", MAC: []byte{2, 0, 0, 0, 0, 1}, MTU: 9000, Queues: 2},
		{Kind: vmm.LinkFS, ID: `a,"tag"=x`},
	}
	f := Files{QMP: 3, Console: 4, Links: []BackEnd{{Address: "ABCD"}, {Address: "EFGH"}, {FD: 7}}}
	args := Build(m, tcg, f)
	devices := map[string]map[string]any{}
	for i, a := range args {
		if a != "-device" || !strings.HasPrefix(args[i+1], "{") {
			continue
		}
		var d map[string]any
		if err := json.Unmarshal([]byte(args[i+1]), &d); err != nil {
			t.Fatalf("%s: %v", args[i+1], err)
		}
		devices[d["id"].(string)] = d
	}
	want := []map[string]any{
		{"driver": "virtio-net-device", "netdev": "link0-back-end", "mac": "52:54:00:12:34:56", "host_mtu": 1500.0, "mq": false, "ctrl_vq": false},
		{"driver": "virtio-net-device", "netdev": "link1-back-end", "mac": "02:00:00:00:00:01", "host_mtu": 9000.0, "mq": true, "ctrl_vq": true, "ctrl_rx": false},
		{"driver": "vhost-user-fs-device", "chardev": "link2", "tag": `a,"tag"=x`, "num-request-queues": 1.0},
	}
	for i, w := range want {
		for name, value := range w {
			if got := devices[LinkName(i)][name]; got != value {
				t.Errorf("link %d: %s = %v, want %v", i, name, got, value)
			}
		}
	}
	line := strings.Join(args, " ")
	for _, part := range []string{
		"-chardev socket,id=link0,path=ABCD,abstract=on,tight=on -netdev vhost-user,id=link0-back-end,chardev=link0,queues=1 -device",
		"-chardev socket,id=link1,path=EFGH,abstract=on,tight=on -netdev vhost-user,id=link1-back-end,chardev=link1,queues=2 -device",
		"-chardev socket,id=link2,fd=7 -device",
	} {
		if !strings.Contains(line, part) {
			t.Errorf("%q is missing in %s", part, line)
		}
	}
}
