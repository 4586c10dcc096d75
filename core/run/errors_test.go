package run

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// TestWhoseFault sorts what keeps plugins and sandboxes from starting into what the file and what the machine has to mend.
func TestWhoseFault(t *testing.T) {
	noQEMU := errdef.New(errdef.ErrUnavailable, "QEMU is not installed").WithRemedy("apt-get install")
	died := &pluginhost.ExitError{Plugin: "vmm-qemu", Status: "exit status 2"}
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"no QEMU":               {notStarted(base.KindVMM, noQEMU), ExitMachine},
		"monitor that dies":     {notStarted(base.KindVMM, died), ExitFailed},
		"model not reached":     {notStarted(base.KindLLM, noQEMU), ExitFailed},
		"block that is refused": {notStarted(base.KindVMM, base.Diagnostics{{Summary: "bad"}}), ExitConfig},
		"plugin not found":      {sorted(errdef.New(errdef.ErrNotFound, "x").WithReason(pluginhost.ReasonNotFound)), ExitMachine},
		"no kernel":             {sorted(&image.NoKernelError{}), ExitMachine},
		"truncated kernel":      {sorted(&image.KernelFileError{Path: "vmlinuz", Err: errors.New("truncated")}), ExitMachine},
		"full disk":             {sorted(&image.FullError{Dir: "/cache", Err: syscall.ENOSPC}), ExitMachine},
		"anything else":         {sorted(errors.New("x")), ExitFailed},
		"nothing":               {notStarted(base.KindVMM, nil), ExitOK},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("sandbox box: %w", err)
		}
		if got := ExitCode(err); got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
	if err := pluginDied("vmm-qemu", died); errdef.Remedy(err) == "" || err.Error() != died.Error() {
		t.Errorf("a dead plugin: %v, remedy %q", err, errdef.Remedy(err))
	}
}
