package lab

import (
	"context"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// tools is a Debian for what busybox cannot do: other monitors to compare with, and load.
var tools = testvm.Debian{
	Packages: []string{
		"bash", "busybox-static", "fio", "iperf3", "iproute2", "iputils-ping", "kmod", "passt", "procps", "python3", "qemu-system-x86", "socat",
		"strace", "stress-ng", "util-linux",
	},
	Size:      "2G",
	Customize: "set -e; rm -rf \"$1\"/var/cache/* \"$1\"/var/log/*",
}

// ToolsDisk returns a disk for [Config.Disk] with QEMU, fio, iperf3, python3, socat, strace, stress-ng and passt. The first
// call on a machine builds it, which takes some minutes and a network.
func ToolsDisk(ctx context.Context, log func(string)) (string, error) {
	cache, err := image.OpenCache("")
	if err != nil {
		return "", err
	}
	return tools.Disk(ctx, cache, log)
}

// Tools is an option of [Main]: the lab runs from [ToolsDisk].
func Tools(ctx context.Context, s *Setup) (err error) {
	s.Disk, err = ToolsDisk(ctx, s.Log)
	return err
}
