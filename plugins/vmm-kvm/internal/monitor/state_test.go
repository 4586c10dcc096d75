package monitor

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
	"github.com/voidbox-run/voidbox/virtio"
)

// TestStateMovesToAnotherVM pauses a guest with files, connections and a command that runs, moves memory and state into a VM that
// was made the same way, and lets it go on there.
func TestStateMovesToAnotherVM(t *testing.T) {
	lab.RequireKVM(t)
	first := freeMonitor(t, Options{})
	s, cfg := bootGuestWith(t, first, sandbox.Spec{CPUs: 2})
	before := shell(t, s, "echo moved > /tmp/memory; (sleep 1000 & ); cat /proc/sys/kernel/random/boot_id")
	if err := first.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	state, err := first.vm.save()
	if err != nil {
		t.Fatal(err)
	}

	second := freeMonitor(t, Options{})
	spec := cfg.machine
	wires := *spec.Vsock
	wires.SocketPath = filepath.Join(shortDir(t), "vsock")
	spec.Vsock = &wires
	if _, err := second.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	for i, r := range first.vm.ram.Memory().Regions() {
		copy(second.vm.ram.Memory().Regions()[i].Data, r.Data)
	}
	if err := first.Stop(t.Context(), 0); err != nil { // its sockets and its clock are gone
		t.Fatal(err)
	}
	if err := second.vm.load(state); err != nil {
		t.Fatal(err)
	}
	if err := second.vm.resume(); err != nil {
		t.Fatal(err)
	}
	conn, err := sandbox.Connect(wires.SocketPath)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	moved := contract.NewClient(conn, s.Token())
	// The guest is told that its connections are gone, and may take the first new one for an old one.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, err := moved.Info(ctx); err != nil; _, err = moved.Info(ctx) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if got := shell(t, moved, "cat /tmp/memory"); got != "moved\n" {
		t.Errorf("the file holds %q", got)
	}
	if got := shell(t, moved, "cat /proc/sys/kernel/random/boot_id"); got != before {
		t.Errorf("the guest's boot was %q, and is %q now", before, got)
	}
}

func TestBadStatesAreRefused(t *testing.T) {
	lab.RequireKVM(t)
	for name, state := range map[string]string{
		"nothing":         "",
		"another version": `{"version": 99, "data": {}}`,
		"no devices":      `{"version": 1, "data": {"vcpus": "", "uart": "", "power": "", "devices": []}}`,
	} {
		m := freeMonitor(t, Options{})
		if _, err := m.Create(t.Context(), machine(t)); err != nil {
			t.Fatal(err)
		}
		if err := m.vm.load([]byte(state)); !errors.Is(err, virtio.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
