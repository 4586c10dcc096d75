package plugintest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// VMMHarness is what the suite of monitors needs.
type VMMHarness struct {
	// Open returns a monitor that is configured and has no VM, and cleans up after it with t.Cleanup. It is called some ten
	// times.
	Open func(t *testing.T) vmm.VMM
	// Capabilities are those that the plugin declares.
	Capabilities []string
	// Kernel is the path of a kernel that boots with Initrd, an initramfs whose init is voidbox's guest agent. It has a driver for
	// the power button.
	Kernel, Initrd string
	// Segment wraps an encoded boot configuration in an archive for the initramfs.
	Segment func(config []byte) ([]byte, error)
	// MemoryBytes is what the guest gets; 0 means 256 MiB.
	MemoryBytes uint64
}

// VMM holds a monitor against its contract, with real guests in it: the guest agent is asked over vsock for what the cases need,
// which takes no more than the commands of a busybox.
func VMM(t *testing.T, h VMMHarness) {
	if h.MemoryBytes == 0 {
		h.MemoryBytes = 256 << 20
	}
	for _, c := range slices.Concat(vmmCases, vmmEndCases, vmmLinkCases) {
		t.Run(c.name, func(t *testing.T) { c.run(newVMMSession(t, h)) })
	}
	t.Run("bad machines", func(t *testing.T) { badMachines(t, h) })
}

type vmmCase struct {
	name string
	run  func(s *vmmSession)
}

// vmmSession is one case with a monitor of its own.
type vmmSession struct {
	*testing.T
	vmm.VMM
	harness VMMHarness
	ctx     context.Context
	dir     string // of the VM's sockets
	spec    vmm.Machine
	config  *boot.Config
	agent   sandbox.Sandbox
	history *vmmHistory
}

func newVMMSession(t *testing.T, h VMMHarness) *vmmSession {
	t.Helper()
	dir, err := os.MkdirTemp("", "vmm") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &vmmSession{T: t, VMM: h.Open(t), harness: h, ctx: caseContext(t), dir: dir}
	s.config = &boot.Config{
		Version: boot.Version, Token: make([]byte, sandbox.TokenSize), Seed: make([]byte, 64), AnnouncePort: vmmAnnouncePort,
		User: boot.User{Name: "root", Home: "/"},
	}
	_, _ = rand.Read(s.config.Token)
	_, _ = rand.Read(s.config.Seed)
	s.spec = vmm.Machine{
		Name: "suite", KernelPath: h.Kernel, CPUs: 1, MemoryBytes: h.MemoryBytes,
		Wires: vmm.Wires{Vsock: &vmm.Vsock{GuestCID: 3, SocketPath: filepath.Join(dir, "vsock")}},
	}
	return s
}

// machine returns the machine with its boot configuration.
func (s *vmmSession) machine() vmm.Machine {
	s.Helper()
	encoded, err := s.config.Encode()
	s.must(err)
	segment, err := s.harness.Segment(encoded)
	s.must(err)
	m := s.spec
	m.Initrd = []vmm.Segment{{Path: s.harness.Initrd}, {Content: segment}}
	return m
}

func (s *vmmSession) has(capability string) bool {
	return slices.Contains(s.harness.Capabilities, capability)
}

func (s *vmmSession) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// create makes the VM, which is stopped with the test.
func (s *vmmSession) create() {
	s.Helper()
	created, err := s.Create(s.ctx, s.machine())
	s.must(err)
	if created.Accelerator == "" || created.Monitor == "" {
		s.Errorf("created: %+v, want an accelerator and a version", created)
	}
	s.history = watchVMM(s)
}

// boot makes the VM and returns when the guest agent answers.
func (s *vmmSession) boot() {
	s.Helper()
	host := s.listenHost(vmmAnnouncePort)
	s.create()
	s.must(s.Start(s.ctx))
	s.agent = s.dialAgent()
	// The agent dials out before it serves: a connection of the guest to the host.
	s.awaitAnnouncement(host)
	if _, err := s.agent.Info(s.ctx); err != nil {
		s.Fatalf("the guest agent does not answer: %v\nconsole:\n%s", err, s.console())
	}
}

// bootMain is boot with a shell as the guest's main process, which has run setup by then and waits for signals.
func (s *vmmSession) bootMain(setup string) {
	s.Helper()
	// A pipe that both make, whoever comes first, is where they meet.
	const meet = "mkfifo /tmp/set-up 2>/dev/null; "
	s.config.Main = &boot.Main{Args: []string{"sh", "-c", meet + setup + "; echo > /tmp/set-up; while true; do sleep 1000 & wait; done"}}
	s.boot()
	s.sh(meet + "cat /tmp/set-up")
}

// sh runs a line of shell in the guest, as root, and returns what it prints.
func (s *vmmSession) sh(script string) string {
	s.Helper()
	out, err := s.try(script)
	if err != nil {
		s.Fatalf("%s: %v: %.500s", script, err, out)
	}
	return out
}

// try is sh for a line that may fail, or end the guest.
func (s *vmmSession) try(script string) (string, error) {
	var out limitedBuffer
	exit, err := s.agent.Exec(s.ctx, shell(script), sandbox.IO{Stdout: &out, Stderr: &out})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit status %d", exit.Code)
	}
	return out.String(), err
}

// background runs a line of shell in the guest that nobody waits for: it may end the guest. What it prints is counted.
func (s *vmmSession) background(ctx context.Context, script string) *countingWriter {
	out := &countingWriter{}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.agent.Exec(ctx, shell(script), sandbox.IO{Stdout: out, Stderr: out})
	}()
	s.Cleanup(func() { cancel(); <-ended })
	return out
}

// wantState demands errdef.ErrState.
func (s *vmmSession) wantState(call string, err error) {
	s.Helper()
	if !errors.Is(err, errdef.ErrState) {
		s.Errorf("%s: error is %v, want ErrState", call, err)
	}
}

// wantUnsupported demands errdef.ErrUnsupported.
func (s *vmmSession) wantUnsupported(call string, err error) {
	s.Helper()
	if !errors.Is(err, errdef.ErrUnsupported) {
		s.Errorf("%s: error is %v, want ErrUnsupported", call, err)
	}
}

// wantNothingLeft looks for what a stopped VM has left in its directory; the suite's own listeners are gone by then.
func (s *vmmSession) wantNothingLeft() {
	s.Helper()
	entries, err := os.ReadDir(s.dir)
	s.must(err)
	for _, e := range entries {
		if e.Name() != filepath.Base(s.spec.Vsock.SocketPath)+fmt.Sprintf("_%d", vmmAnnouncePort) {
			s.Errorf("left behind: %s", e.Name())
		}
	}
}
