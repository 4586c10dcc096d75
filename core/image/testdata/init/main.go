// Command init is a guest's PID 1 for the tests of this package: it loads the modules, says what it finds, and switches
// the machine off.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	_ = unix.Mount("proc", "/proc", "proc", 0, "")
	_ = unix.Mount("sysfs", "/sys", "sysfs", 0, "")
	say("release", read("/proc/sys/kernel/osrelease"))
	config, err := os.Stat("/run/voidbox/boot.json")
	if err != nil {
		say("config", err)
	} else {
		say("config", read("/run/voidbox/boot.json"), config.Mode())
	}
	for _, module := range strings.Fields(read("/etc/voidbox/modules.list")) {
		load(module)
	}
	_, err = os.Stat("/sys/bus/virtio/drivers/vmw_vsock_virtio_transport")
	say("transport", err == nil)
	if info, err := os.Stat("/workspace"); err == nil {
		var st unix.Stat_t
		_ = unix.Stat("/workspace", &st)
		say("workspace", fmt.Sprintf("%d:%d", st.Uid, st.Gid), info.Mode())
	}
	say("bash", firstLine("/bin/bash", "--version"))
	say("busybox", firstLine("/bin/busybox", "sh", "-c", "busybox"))
	say("done")
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func say(words ...any) { fmt.Println(words...) }

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

func load(path string) {
	f, err := os.Open(path)
	if err == nil {
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
	}
	if err != nil {
		say("module", path, "failed:", err)
		return
	}
	say("module", path)
}

func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
