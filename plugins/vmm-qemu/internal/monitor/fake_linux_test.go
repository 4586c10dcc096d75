package monitor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qemu"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// TestMain plays QEMU when the program is started under that name; the machine's name says which QEMU.
func TestMain(m *testing.M) {
	switch {
	case strings.HasPrefix(filepath.Base(os.Args[0]), "qemu-system-"):
		playQEMU(os.Args[1:])
	case len(os.Args) == 3 && os.Args[1] == "own-a-vm":
		ownVM(os.Args[2])
	default:
		goleak.VerifyTestMain(m)
	}
}

// fakeQEMU answers QMP and otherwise does what its name says.
type fakeQEMU struct {
	name    string
	out     *os.File
	console *os.File
	greeted bool
	reboot  string // what a reset does
	resets  int
}

func playQEMU(args []string) {
	value := func(name, prefix string) string {
		for i, a := range args[:len(args)-1] {
			if a == name && strings.HasPrefix(args[i+1], prefix) {
				return strings.TrimPrefix(args[i+1], prefix)
			}
		}
		return ""
	}
	q := &fakeQEMU{
		name:    value("-name", "guest="),
		out:     inherited(value("-chardev", "socket,id=qmp,fd=")),
		console: inherited(value("-chardev", "socket,id=console,fd=")),
	}
	switch q.name {
	case "refuses":
		fmt.Fprintln(os.Stderr, "qemu-system-x86_64: Error loading uncompressed kernel without PVH ELF Note")
		os.Exit(1)
	case "mute":
		hang()
	case "babbles":
		fmt.Fprintln(q.out, "I am no QEMU")
		hang()
	}
	version := `{"major": 7, "minor": 2, "micro": 22}`
	if q.name == "old" {
		version = `{"major": 4, "minor": 2, "micro": 1}`
	}
	fmt.Fprintf(q.out, `{"QMP": {"version": {"qemu": %s}, "capabilities": []}}`+"\n", version)
	lines := bufio.NewScanner(q.out)
	for lines.Scan() {
		var cmd struct {
			Execute   string
			Arguments map[string]any
			ID        uint64
		}
		if json.Unmarshal(lines.Bytes(), &cmd) != nil {
			os.Exit(3)
		}
		q.obey(cmd.Execute, cmd.Arguments, cmd.ID)
	}
	if q.name == "stubborn" {
		hang()
	}
}

// hang waits for a signal that ends the process. An empty select would do the same until the runtime calls it a deadlock, which it
// does whenever no other goroutine happens to be left.
func hang() {
	for {
		_ = unix.Pause()
	}
}

func inherited(number string) *os.File {
	var fd uintptr
	_, _ = fmt.Sscan(number, &fd)
	return os.NewFile(fd, "fd"+number)
}

func (q *fakeQEMU) obey(command string, arguments map[string]any, id uint64) {
	fmt.Fprintf(q.out, `{"return": {}, "id": %d}`+"\n", id)
	switch command {
	case "cont":
		q.runGuest()
	case "set-action":
		q.reboot, _ = arguments["reboot"].(string)
		if q.resets == 3 && q.reboot == "shutdown" {
			q.end("guest-shutdown")
		}
	case "system_reset":
		if q.reboot != "reset" {
			q.end("host-qmp-system-reset") // -no-reboot
		}
		if q.resets++; q.resets < 3 {
			q.runGuest()
		}
	case "system_powerdown":
		if q.name == "polite" {
			q.end("guest-shutdown")
		}
	case "quit":
		if q.name != "stubborn" {
			q.end("host-qmp-quit")
		}
	}
}

func (q *fakeQEMU) runGuest() {
	switch q.name {
	case "panics":
		fmt.Fprint(q.console, "[    1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n")
		q.end("guest-reset")
	case "loses-its-timer":
		fmt.Fprint(q.console, "[    0.1] APIC frequency too slow, disabling apic timer\r\n")
	case "resets":
		q.end("guest-reset")
	case "powers-off":
		q.end("guest-shutdown")
	case "crashes":
		fmt.Fprintln(os.Stderr, "qemu-system-x86_64: assertion failed: the sky is up")
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		hang()
	case "floods":
		for range 4096 {
			fmt.Fprint(q.console, strings.Repeat("x", 1023)+"\n")
		}
		q.end("guest-shutdown")
	case "runs":
		if !q.greeted {
			fmt.Fprint(q.console, "hello\r\n")
		}
		q.greeted = true
	}
}

func (q *fakeQEMU) end(reason string) {
	fmt.Fprintf(q.out, `{"event": "SHUTDOWN", "data": {"guest": true, "reason": %q}}`+"\n", reason)
	os.Exit(0)
}

// ownVM is a process that is to be killed: it starts a VM and tells the process id of QEMU.
func ownVM(kernel string) {
	signal.Ignore(unix.SIGTERM)
	m := newMonitor()
	m.Configure(Options{Program: os.Getenv("FAKE_QEMU"), Accelerator: qemu.TCG})
	if _, err := m.Create(rootContext(), vmm.Machine{Name: "stubborn", KernelPath: kernel, CPUs: 1, MemoryBytes: 64 << 20}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(m.vm.proc.cmd.Process.Pid)
	time.Sleep(time.Hour)
}

// fakeProgram returns a path by which this test program plays QEMU.
func fakeProgram(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), qemu.Program())
	// A copy, since the jail admits the program's own path only; and no link, which the jail would resolve.
	if out, err := exec.Command("cp", self, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
