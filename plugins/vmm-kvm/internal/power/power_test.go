package power_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/power"
	"github.com/voidbox-run/voidbox/virtio"
)

// guest is a port bus with the device on it, and what has happened.
type guest struct {
	ports   bus.Bus
	device  *power.Device
	events  []string
	signals int
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	g := &guest{}
	note := func(what string) func() { return func() { g.events = append(g.events, what) } }
	g.device = power.New(power.Events{PowerOff: note("power off"), Reset: note("reset"), Panic: note("panic")}, g)
	if err := g.device.Attach(&g.ports); err != nil {
		t.Fatal(err)
	}
	return g
}

// Signal implements virtio.Call.
func (g *guest) Signal() error { g.signals++; return nil }

func (g *guest) out(port uint64, v byte) { g.ports.Write(port, []byte{v}) }

func (g *guest) in(port uint64, width int) []byte {
	p := bytes.Repeat([]byte{0xee}, width)
	g.ports.Read(port, p)
	return p
}

func TestPorts(t *testing.T) {
	for name, c := range map[string]struct {
		port   uint64
		value  byte
		events []string
	}{
		"S5":                     {layout.SleepControlPort, 5<<2 | 1<<5, []string{"power off"}},
		"S5 without enable":      {layout.SleepControlPort, 5 << 2, nil},
		"S1":                     {layout.SleepControlPort, 1<<2 | 1<<5, nil},
		"sleep status":           {layout.SleepStatusPort, 0x80, nil},
		"reset":                  {layout.ResetPort, 1, []string{"reset"}},
		"not reset":              {layout.ResetPort, 2, nil},
		"keyboard reset":         {0x64, 0xfe, []string{"reset"}},
		"keyboard command":       {0x64, 0xd1, nil},
		"panic":                  {layout.PanicPort, 1, []string{"panic"}},
		"panic of a crash guest": {layout.PanicPort, 2, nil},
		"event port":             {layout.EventPort, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			g.out(c.port, c.value)
			if !slices.Equal(g.events, c.events) {
				t.Errorf("events %v, want %v", g.events, c.events)
			}
		})
	}
}

// A guest ends once, however often it says so, and may panic before.
func TestEventsComeOnce(t *testing.T) {
	g := newGuest(t)
	for range 3 {
		g.out(layout.PanicPort, 1)
		g.out(0x64, 0xfe)
		g.out(layout.ResetPort, 1)
		g.out(layout.SleepControlPort, 5<<2|1<<5)
	}
	if want := []string{"panic", "reset"}; !slices.Equal(g.events, want) {
		t.Errorf("events %v, want %v", g.events, want)
	}
}

func TestReads(t *testing.T) {
	g := newGuest(t)
	for port, want := range map[uint64]byte{
		layout.SleepStatusPort: 0, // no wake-up
		0x64:                   0, // Linux waits until the controller has taken what it was sent
		layout.PanicPort:       1, // the events that the driver may use
		layout.ResetPort:       0,
	} {
		if got := g.in(port, 1); got[0] != want {
			t.Errorf("port %#x reads as %#x, want %#x", port, got, want)
		}
	}
}

func TestButton(t *testing.T) {
	g := newGuest(t)
	for range 2 {
		if err := g.device.PressButton(); err != nil {
			t.Fatal(err)
		}
	}
	if g.signals != 2 {
		t.Errorf("%d signals", g.signals)
	}
	if got := g.in(layout.EventPort, 2); !bytes.Equal(got, []byte{0, 0}) {
		t.Errorf("a narrow read gives % x", got)
	}
	if got := g.in(layout.EventPort, 4); !bytes.Equal(got, []byte{1, 0, 0, 0}) {
		t.Errorf("events % x", got)
	}
	if got := g.in(layout.EventPort, 4); !bytes.Equal(got, []byte{0, 0, 0, 0}) {
		t.Errorf("events % x after they were fetched", got)
	}
	if len(g.events) > 0 {
		t.Errorf("events %v", g.events)
	}
}

func TestStateSurvives(t *testing.T) {
	old, g := newGuest(t), newGuest(t)
	for _, pressed := range []bool{false, true} {
		if pressed {
			if err := old.device.PressButton(); err != nil {
				t.Fatal(err)
			}
		}
		state, err := old.device.SaveState()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.device.LoadState(state); err != nil {
			t.Fatal(err)
		}
		if (g.signals > 0) != pressed || (g.in(layout.EventPort, 4)[0] == 1) != pressed {
			t.Errorf("pressed: %v, signals: %d", pressed, g.signals)
		}
	}
	for _, bad := range []string{"", `{"version":1,"data":{"Due":2}}`, `{"version":9,"data":{"Due":1}}`} {
		if err := g.device.LoadState([]byte(bad)); !errors.Is(err, virtio.ErrState) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if due := g.in(layout.EventPort, 4); due[0] != 0 {
		t.Error("a bad state was taken over")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	g := newGuest(t)
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		g.ports.Read(layout.EventPort, p)
		g.ports.Read(layout.SleepStatusPort, p[:1])
		g.ports.Write(layout.SleepStatusPort, p[:1])
		g.ports.Write(layout.KeyboardPort, p[:1])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
