//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/fs"
	virtionet "github.com/voidbox-run/voidbox/virtio/net"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
	"github.com/voidbox-run/voidbox/virtio/virtiotest/linkpeer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Linux's drivers agree with the devices about everything: features, headers, merged buffers, segments, requests of a megabyte.
func TestLinuxDrivers(t *testing.T) {
	means := testvm.Require(t)
	dir := t.TempDir()

	frames, network := virtiotest.NewLink(t, link.Terms{Purpose: link.Frames, Features: link.NetFeatures}, virtionet.Ask(1))
	netDevice, err := virtionet.New(virtionet.Config{MAC: [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}, Link: frames})
	if err != nil {
		t.Fatal(err)
	}
	requests, share := virtiotest.NewLink(t, link.Terms{Purpose: link.Requests}, fs.Ask(1))
	fsDevice, err := fs.New(fs.Config{Tag: "share", Link: requests})
	if err != nil {
		t.Fatal(err)
	}
	var mirror linkpeer.Mirror
	var files linkpeer.Share
	ended := make(chan struct{}, 4)
	run := func(f func()) { go func() { f(); ended <- struct{}{} }() }
	run(func() { mirror.Serve(network) })
	run(func() { files.Serve(share) })
	netSocket, fsSocket := listen(t, filepath.Join(dir, "net")), listen(t, filepath.Join(dir, "fs"))
	run(func() { lend(t, netSocket, netDevice) })
	run(func() { lend(t, fsSocket, fsDevice) })

	console := boot(t, means, dir)
	_ = netDevice.Close()
	_ = fsDevice.Close()
	for range cap(ended) {
		<-ended
	}
	for line := range strings.Lines(console) {
		if strings.HasPrefix(line, "driverguest:") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if !strings.Contains(console, "driverguest: done") {
		t.Fatalf("the guest did not come to its end:\n%s", console)
	}

	n := netDevice.Metrics()
	t.Logf("network: %+v; segments %d, partial checksums %d", n, mirror.Segments.Load(), mirror.Partial.Load())
	if n.TxInvalid+n.RxInvalid+n.RxTooLarge+n.RxInactive+n.TxNoCarrier != 0 || n.TxBytes < total || n.RxBytes < total {
		t.Errorf("network metrics %+v", n)
	}
	if mirror.Segments.Load() == 0 || mirror.Partial.Load() == 0 {
		t.Error("the driver made no use of offloads")
	}
	f := fsDevice.Metrics()
	t.Logf("share: %+v", f)
	if f.Invalid+f.BadReplies+f.Failed != 0 || f.InFlight != 0 || f.RequestBytes < total || f.ReplyBytes < total {
		t.Errorf("share metrics %+v", f)
	}
}

func listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := virtio.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_ = l.SetDeadline(time.Now().Add(virtiotest.Patience))
	return l
}

// lend serves the one VMM that connects.
func lend(t *testing.T, l *net.UnixListener, dev virtio.Device) {
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Error(err)
		return
	}
	if err := vhostuser.Serve(context.Background(), conn, dev); err != nil {
		t.Errorf("device %d: %v", dev.DeviceID(), err)
	}
}

// boot runs the guest to its end and returns what it said.
func boot(t *testing.T, means testvm.Means, dir string) string {
	t.Helper()
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, initramfs(t, means.Kernel), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, means.QEMU,
		"-M", "microvm,pit=on,pic=on,rtc=on,memory-backend=ram", "-accel", "tcg", "-cpu", "max", "-m", "512M",
		"-object", "memory-backend-memfd,id=ram,size=512M,share=on",
		"-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-global", "virtio-mmio.force-legacy=false",
		"-kernel", means.Kernel.Path, "-initrd", initrd, "-serial", "stdio",
		"-append", "console=ttyS0 quiet reboot=t panic=-1 no_timer_check tsc_early_khz=2000000",
		"-chardev", "socket,id=c0,path="+filepath.Join(dir, "net"), "-netdev", "vhost-user,id=n0,chardev=c0",
		"-device", "virtio-net-device,netdev=n0,mac=52:54:00:12:34:56",
		"-chardev", "socket,id=c1,path="+filepath.Join(dir, "fs"),
		"-device", "vhost-user-fs-device,chardev=c1,tag=share,num-request-queues=1,queue-size=1024")
	var said, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("QEMU: %v\n%s\n%s", err, complaints.String(), said.String())
	}
	return strings.ReplaceAll(said.String(), "\r", "")
}

// initramfs holds this command and the modules that the kernel needs for the drivers.
func initramfs(t *testing.T, kernel image.Kernel) []byte {
	t.Helper()
	init, err := os.ReadFile(testvm.Build(t, "github.com/voidbox-run/voidbox/virtio/virtiotest/driverguest", "init"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	addFile(&b, "init", 0o100755, init)
	addFile(&b, "modules", 0o040755, nil)
	if kernel.ModulesDir != "" {
		files, err := image.ModuleClosure(kernel.ModulesDir, "virtio_mmio", "virtio_net", "virtiofs")
		if err != nil {
			t.Fatal(err)
		}
		for i, file := range files {
			module, err := image.ReadModule(file)
			if err != nil {
				t.Fatal(err)
			}
			addFile(&b, fmt.Sprintf("modules/%03d", i), 0o100644, module)
		}
	}
	addFile(&b, "TRAILER!!!", 0, nil)
	return b.Bytes()
}

// addFile appends a file to an archive in the "newc" format of cpio.
func addFile(w io.Writer, name string, mode uint32, data []byte) {
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	_, _ = fmt.Fprintf(w, "%s%s\x00%s", header, name, strings.Repeat("\x00", (4-(len(header)+len(name)+1)%4)%4))
	_, _ = fmt.Fprintf(w, "%s%s", data, strings.Repeat("\x00", (4-len(data)%4)%4))
}
