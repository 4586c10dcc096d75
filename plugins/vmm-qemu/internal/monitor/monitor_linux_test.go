package monitor

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/jail"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qemu"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func rootContext() context.Context { return context.Background() }

// kernelFile makes a file that passes for a kernel.
func kernelFile(t *testing.T) string {
	t.Helper()
	image := make([]byte, 4096)
	image[0x1f1] = 1
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(image[0x1f4:], 16)
	path := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func spec(t *testing.T, name string) vmm.Machine {
	return vmm.Machine{Name: name, KernelPath: kernelFile(t), CPUs: 1, MemoryBytes: 64 << 20}
}

// monitorOf returns a monitor over a fake QEMU; the VM ends with the test.
func monitorOf(t *testing.T) *Monitor {
	t.Helper()
	m := newMonitor()
	m.Configure(Options{Program: fakeProgram(t), Accelerator: qemu.TCG})
	t.Cleanup(func() {
		if err := m.Stop(context.Background(), 0); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return m
}

func create(t *testing.T, name string) *Monitor {
	t.Helper()
	m := monitorOf(t)
	if _, err := m.Create(t.Context(), spec(t, name)); err != nil {
		t.Fatal(err)
	}
	return m
}

func start(t *testing.T, name string) *Monitor {
	t.Helper()
	m := create(t, name)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// history watches until the VM has stopped and returns the kinds of events, and the last detail.
func history(t *testing.T, m *Monitor) (kinds []vmm.EventKind, detail string) {
	t.Helper()
	err := m.Watch(t.Context(), func(e vmm.Event) error {
		kinds = append(kinds, e.Kind)
		if e.Detail != "" {
			detail = e.Detail
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds, detail
}

func TestEndsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		want   []vmm.EventKind
		detail string
	}{
		"panics":     {[]vmm.EventKind{vmm.Started, vmm.Panic, vmm.Stopped}, "Attempted to kill init! exitcode=0x00000100"},
		"resets":     {[]vmm.EventKind{vmm.Started, vmm.Reset, vmm.Stopped}, ""},
		"powers-off": {[]vmm.EventKind{vmm.Started, vmm.PowerOff, vmm.Stopped}, ""},
		"crashes":    {[]vmm.EventKind{vmm.Started, vmm.Failed, vmm.Stopped}, "the sky is up"},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, name)
			kinds, detail := history(t, m)
			// A panic is seen on the console while Start still waits for its answer, so the two may change places.
			if len(kinds) > 1 && kinds[0] == vmm.Panic {
				kinds[0], kinds[1] = kinds[1], kinds[0]
			}
			if diff := cmp.Diff(c.want, kinds); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(detail, c.detail) {
				t.Errorf("detail = %q, want %q in it", detail, c.detail)
			}
			if err := m.Pause(t.Context()); !errors.Is(err, errdef.ErrState) {
				t.Errorf("pause of a stopped VM: %v", err)
			}
		})
	}
}

func TestStatesAreKept(t *testing.T) {
	m := monitorOf(t)
	ctx := t.Context()
	forbidden := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, errdef.ErrState) {
			t.Errorf("%s: error = %v, want ErrState", name, err)
		}
	}
	forbidden("start before create", m.Start(ctx))
	forbidden("console before create", m.Console(ctx, false, nil))
	forbidden("relink before create", m.Relink(ctx, vmm.Link{}))
	made, err := m.Create(ctx, spec(t, "runs"))
	if err != nil || made.Accelerator != qemu.TCG || made.Monitor != "QEMU 7.2.22" {
		t.Fatalf("created %+v, %v", made, err)
	}
	_, err = m.Create(ctx, spec(t, "runs"))
	forbidden("create twice", err)
	forbidden("pause before start", m.Pause(ctx))
	for _, step := range []func(context.Context) error{m.Start, m.Pause, m.Resume} {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	forbidden("start twice", m.Start(ctx))
	if err := m.Snapshot(ctx, "/x"); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("snapshot: %v", err)
	}
	if err := m.Restore(ctx, "/x", vmm.Wires{}, nil); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("restore: %v", err)
	}
	if err := m.Relink(ctx, vmm.Link{Kind: vmm.LinkNet, ID: "eth"}); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("relink: %v", err)
	}
	for range 2 {
		if err := m.Stop(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	forbidden("start after stop", m.Start(ctx))
	kinds, _ := history(t, m)
	if diff := cmp.Diff([]vmm.EventKind{vmm.Started, vmm.Paused, vmm.Resumed, vmm.Stopped}, kinds); diff != "" {
		t.Error(diff)
	}
	var said string
	if err := m.Console(ctx, true, func(data []byte, _ uint64) error { said += string(data); return nil }); err != nil || said != "hello\r\n" {
		t.Errorf("console = %q, %v", said, err)
	}
}

func TestStopBeforeCreateEndsWatchers(t *testing.T) {
	m := monitorOf(t)
	if err := m.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if kinds, _ := history(t, m); len(kinds) != 1 || kinds[0] != vmm.Stopped {
		t.Errorf("events = %v", kinds)
	}
}

func TestPowerButtonComesFirst(t *testing.T) {
	m := start(t, "polite")
	if err := m.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	kinds, _ := history(t, m)
	if diff := cmp.Diff([]vmm.EventKind{vmm.Started, vmm.PowerOff, vmm.Stopped}, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestStubbornQEMUIsKilled(t *testing.T) {
	m := start(t, "stubborn")
	if err := m.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if state := m.vm.proc.cmd.ProcessState; state == nil || state.String() != "signal: killed" {
		t.Errorf("QEMU ended with %v", state)
	}
}

func TestFailedCreation(t *testing.T) {
	for name, says := range map[string]string{
		"refuses": "QEMU refused the machine: Error loading uncompressed kernel without PVH ELF Note",
		"babbles": "no greeting but \"I am no QEMU\"",
		"old":     "QEMU 4.2.1 is too old",
	} {
		t.Run(name, func(t *testing.T) {
			m := monitorOf(t)
			if _, err := m.Create(t.Context(), spec(t, name)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("error = %v, want %q in it", err, says)
			}
			// A failure leaves the monitor as it was.
			if _, err := m.Create(t.Context(), spec(t, "runs")); err != nil {
				t.Errorf("create after a failure: %v", err)
			}
		})
	}
}

func TestMuteQEMUIsGivenUpWithTheCaller(t *testing.T) {
	m := monitorOf(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := m.Create(ctx, spec(t, "mute")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
}

func TestMissingQEMU(t *testing.T) {
	m := newMonitor()
	m.Configure(Options{Program: "/nonexistent/qemu", Accelerator: qemu.TCG})
	_, err := m.Create(t.Context(), spec(t, "runs"))
	if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(errdef.Remedy(err), "install qemu") {
		t.Errorf("error %v with remedy %q", err, errdef.Remedy(err))
	}
}

func TestMoreMemoryThanTheHostHas(t *testing.T) {
	m := monitorOf(t)
	big := spec(t, "runs")
	big.MemoryBytes = 1 << 50
	_, err := m.Create(t.Context(), big)
	if !errors.Is(err, errdef.ErrExhausted) || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("error = %v", err)
	}
}

func TestFloodedConsoleStopsNobody(t *testing.T) {
	m := start(t, "floods")
	kinds, _ := history(t, m)
	if diff := cmp.Diff([]vmm.EventKind{vmm.Started, vmm.PowerOff, vmm.Stopped}, kinds); diff != "" {
		t.Error(diff)
	}
	var got, dropped uint64
	err := m.Console(t.Context(), true, func(data []byte, lost uint64) error {
		got, dropped = got+uint64(len(data)), dropped+lost
		return nil
	})
	if err != nil || got+dropped != 4<<20 || dropped == 0 {
		t.Errorf("%d bytes read and %d lost, %v; want 4 MiB in all", got, dropped, err)
	}
}

// A guest that loses its timer three times is reset three times; afterwards its own reset ends it again.
func TestGuestWithoutATimerIsReset(t *testing.T) {
	kinds, _ := history(t, start(t, "loses-its-timer"))
	if diff := cmp.Diff([]vmm.EventKind{vmm.Started, vmm.PowerOff, vmm.Stopped}, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestGuestCannotAskForAResetOnceItRuns(t *testing.T) {
	v := &vm{}
	v.onTimerLine(startedMark + "start")
	if v.restarts != maxRestarts {
		t.Errorf("%d restarts are left", maxRestarts-v.restarts)
	}
}

func TestMetrics(t *testing.T) {
	m := start(t, "runs")
	got, err := m.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got["memory.rss_bytes"] == 0 {
		t.Errorf("metrics = %v, want memory in them", got)
	}
	if err := m.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Metrics(t.Context()); err != nil {
		t.Errorf("metrics of a stopped VM: %v", err)
	}
}

func TestJailComesAfterCreation(t *testing.T) {
	m := monitorOf(t)
	var got []jail.Grants
	m.confine = func(g jail.Grants) error {
		got = append(got, g)
		return nil
	}
	dir, err := os.MkdirTemp("", "vb") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m.opt.RuntimeDir = "/run/host/1"
	with := spec(t, "runs")
	with.Vsock = &vmm.Vsock{GuestCID: 3, SocketPath: dir + "/vsock"}
	if _, err := m.Create(t.Context(), with); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]jail.Grants{{Dirs: []string{dir, "/run/host"}}}, got); diff != "" {
		t.Error(diff)
	}
	if err := m.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestJailThatFailsEndsTheVM(t *testing.T) {
	m := monitorOf(t)
	m.confine = func(jail.Grants) error { return errors.New("no seccomp here") }
	if _, err := m.Create(t.Context(), spec(t, "runs")); err == nil || !strings.Contains(err.Error(), "no seccomp here") {
		t.Errorf("error = %v", err)
	}
}

func TestKilledOwnerTakesQEMUAlong(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.CommandContext(t.Context(), self, "own-a-vm", kernelFile(t))
	owner.Env = []string{"FAKE_QEMU=" + fakeProgram(t)}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the owner said %q", line)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000)
	if err != nil || n != 1 {
		t.Fatalf("QEMU outlived its owner: %v", err)
	}
}
