package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/vsock"
)

// machineLimit ends a VM that hangs; a test that meets it fails.
const machineLimit = 3 * time.Minute

// vm is a QEMU microvm with the agent as its init.
type vm struct {
	t       testing.TB
	dir     string
	console syncBuffer
	exited  chan error
	said    chan boot.Announcement // closed after the last
	device  *vsock.Device
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// options say what is special about a VM.
type options struct {
	contents image.Contents
	args     []string // of QEMU
	noVsock  bool
	memory   int // MiB; 0 means 256
	kernel   *image.Kernel
}

const announcePort = 1025

// newConfig is a boot configuration with nothing special.
func newConfig() *boot.Config {
	c := &boot.Config{Version: boot.Version, Token: make([]byte, 32), Seed: make([]byte, 64), AnnouncePort: announcePort,
		ClockUnixNano: time.Now().UnixNano()}
	_, _ = rand.Read(c.Token)
	_, _ = rand.Read(c.Seed)
	return c
}

func startVM(t testing.TB, config *boot.Config, opt options) *vm {
	t.Helper()
	means := testvm.Require(t)
	kernel := means.Kernel
	if opt.kernel != nil {
		kernel = *opt.kernel
	}
	base, err := means.Cache.Initramfs(t.Context(), image.InitramfsSpec{Kernel: kernel, Agent: testvm.Agent(t), Contents: opt.contents})
	if err != nil {
		t.Fatal(err)
	}
	v := &vm{t: t, dir: t.TempDir(), exited: make(chan error, 1), said: make(chan boot.Announcement, 16)}
	if opt.memory == 0 {
		opt.memory = 256
	}
	args := []string{"-M", "microvm,acpi=on,rtc=on,memory-backend=mem", "-accel", "tcg", "-cpu", "max",
		"-m", strconv.Itoa(opt.memory), "-object", fmt.Sprintf("memory-backend-memfd,id=mem,size=%dM,share=on", opt.memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-global", "virtio-mmio.force-legacy=false",
		"-kernel", kernel.Path, "-initrd", v.initrd(base, config),
		"-append", fmt.Sprintf("console=ttyS0 quiet panic=-1 no_timer_check tsc_early_khz=%d", tscKHz(t))}
	if !opt.noVsock {
		args = append(args, v.addVsock()...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), machineLimit)
	cmd := exec.CommandContext(ctx, means.QEMU, append(args, opt.args...)...)
	cmd.Stdout, cmd.Stderr = &v.console, &v.console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { v.exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		if !v.gone() {
			<-v.exited
		}
		if t.Failed() {
			t.Logf("console:\n%s", v.console.String())
		}
	})
	return v
}

func (v *vm) gone() bool {
	select {
	case err := <-v.exited:
		v.exited <- err
		return true
	default:
		return false
	}
}

// initrd joins the base segment and the boot configuration.
func (v *vm) initrd(base string, config *boot.Config) string {
	v.t.Helper()
	data, err := os.ReadFile(base)
	if err != nil {
		v.t.Fatal(err)
	}
	if config != nil {
		encoded, err := config.Encode()
		if err != nil {
			v.t.Fatal(err)
		}
		segment, err := image.BootSegment(encoded)
		if err != nil {
			v.t.Fatal(err)
		}
		data = append(data, segment...)
	}
	file := filepath.Join(v.dir, "initrd")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		v.t.Fatal(err)
	}
	return file
}

// addVsock lends QEMU a socket device and listens for the announcement.
func (v *vm) addVsock() []string {
	v.t.Helper()
	path := filepath.Join(v.dir, "vsock")
	announce, err := net.Listen("unix", path+"_"+strconv.Itoa(announcePort))
	if err != nil {
		v.t.Fatal(err)
	}
	v.device, err = vsock.New(vsock.Config{GuestCID: 3, Path: path})
	if err != nil {
		v.t.Fatal(err)
	}
	front, err := vhostuser.Listen(filepath.Join(v.dir, "vhost"))
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		conn, err := front.Accept(ctx)
		if err == nil {
			_ = vhostuser.Serve(ctx, conn, v.device)
		}
	})
	running.Go(func() {
		defer close(v.said)
		conn, err := announce.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if err := boot.ReadAnnouncements(conn, func(a boot.Announcement) { v.said <- a }); err != nil {
			v.t.Logf("announcement: %v", err)
		}
	})
	v.t.Cleanup(func() {
		cancel()
		_ = announce.Close()
		_ = front.Close()
		running.Wait()
		_ = v.device.Close()
	})
	return []string{"-chardev", "socket,id=vsock,path=" + filepath.Join(v.dir, "vhost"), "-device", "vhost-user-vsock-device,chardev=vsock"}
}

// await returns the announcements up to the last one.
func (v *vm) await() []boot.Announcement {
	v.t.Helper()
	var all []boot.Announcement
	limit := time.After(machineLimit)
	for {
		select {
		case a, more := <-v.said:
			if !more {
				return all
			}
			all = append(all, a)
		case err := <-v.exited:
			v.exited <- err
			v.t.Fatalf("the machine ended (%v) after %+v", err, all)
		case <-limit:
			v.t.Fatalf("nothing more is announced after %+v", all)
		}
	}
}

// ready waits until the agent serves.
func (v *vm) ready() {
	v.t.Helper()
	all := v.await()
	if len(all) == 0 || all[len(all)-1].Stage != boot.StageReady {
		v.t.Fatalf("not ready: %+v", all)
	}
}

// awaitEnd waits until the machine has switched itself off.
func (v *vm) awaitEnd() {
	v.t.Helper()
	select {
	case err := <-v.exited:
		v.exited <- err
		if err != nil {
			v.t.Fatalf("qemu: %v", err)
		}
	case <-time.After(machineLimit):
		v.t.Fatal("the machine does not end")
	}
}

// tscKHz saves the guest the calibration of its clock, which fails now and then under emulation.
func tscKHz(t testing.TB) int {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	var mhz float64
	if m := regexp.MustCompile(`cpu MHz\s*:\s*([0-9.]+)`).FindSubmatch(info); m != nil {
		_, _ = fmt.Sscan(string(m[1]), &mhz)
	}
	if mhz == 0 {
		t.Fatal("/proc/cpuinfo does not say how fast the processor is")
	}
	return int(mhz * 1000)
}
