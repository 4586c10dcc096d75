package monitor

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vhost"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/test/lab"
)

func TestVhost(t *testing.T) {
	lab.RequireVhostVsock(t)
	m := freeMonitor(t, Options{Vsock: VsockVhost})
	s := bootGuest(t, m, sandbox.Spec{})
	if out := shell(t, s, "echo hello from $(uname -s)"); out != "hello from Linux\n" {
		t.Errorf("output %q", out)
	}
}

func TestVsockIsOneOfTwo(t *testing.T) {
	for vsock, want := range map[string]error{"": nil, "user": nil, "kernel": errdef.ErrInvalid} {
		if err := (Options{Vsock: vsock}).check(); !errors.Is(err, want) {
			t.Errorf("vsock = %q: %v, want %v", vsock, err, want)
		}
	}
	if _, err := os.Stat(vhost.DevicePath); err == nil {
		t.Log("this machine has the device of the kernel's")
		return
	}
	if err := (Options{Vsock: VsockVhost}).check(); !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(errdef.Remedy(err), "modprobe vhost_vsock") {
		t.Errorf("without the device: %v, remedy %q", err, errdef.Remedy(err))
	}
}
