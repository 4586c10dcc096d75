package vmm_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake records what arrives and answers from its fields.
type fake struct {
	machine vmm.Machine
	wires   vmm.Wires
	disks   []vmm.Disk
	grace   time.Duration
	dir     string
	calls   []string
	events  []vmm.Event
	console []string
	err     error
}

func (f *fake) called(name string) error {
	f.calls = append(f.calls, name)
	return f.err
}

func (f *fake) Create(_ context.Context, m vmm.Machine) (vmm.Created, error) {
	f.machine = m
	return vmm.Created{Accelerator: "tcg", Monitor: "fake 1"}, f.err
}
func (f *fake) Start(context.Context) error  { return f.called("start") }
func (f *fake) Pause(context.Context) error  { return f.called("pause") }
func (f *fake) Resume(context.Context) error { return f.called("resume") }
func (f *fake) Stop(_ context.Context, grace time.Duration) error {
	f.grace = grace
	return f.called("stop")
}
func (f *fake) Snapshot(_ context.Context, dir string) error {
	f.dir = dir
	return f.called("snapshot")
}
func (f *fake) Restore(_ context.Context, dir string, w vmm.Wires, disks []vmm.Disk) error {
	f.dir, f.wires, f.disks = dir, w, disks
	return f.called("restore")
}
func (f *fake) Relink(_ context.Context, l vmm.Link) error {
	f.wires.Links = []vmm.Link{l}
	return f.called("relink")
}
func (f *fake) Watch(_ context.Context, fn func(vmm.Event) error) error {
	for _, e := range f.events {
		if err := fn(e); err != nil {
			return err
		}
	}
	return f.err
}
func (f *fake) Console(ctx context.Context, follow bool, fn func([]byte, uint64) error) error {
	for i, line := range f.console {
		if err := fn([]byte(line), uint64(i)); err != nil {
			return err
		}
	}
	if follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.err
}
func (f *fake) Metrics(context.Context) (map[string]uint64, error) {
	return map[string]uint64{"vsock.rx_bytes": 7}, f.err
}

func serve(t *testing.T, impl vmm.VMM) vmm.VMM {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	vmm.Register(s, impl)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///vmm", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		s.Stop()
		<-done
	})
	return vmm.NewClient(conn)
}

func fullMachine() vmm.Machine {
	return vmm.Machine{
		Name:        "one",
		KernelPath:  "/k",
		Initrd:      []vmm.Segment{{Path: "/base.img"}, {Content: []byte("boot")}},
		CommandLine: "quiet",
		CPUs:        3,
		MemoryBytes: 5 << 30,
		Disks:       []vmm.Disk{{ID: "root", Path: "/d", ReadOnly: true}},
		Wires: vmm.Wires{
			Links: []vmm.Link{
				{Kind: vmm.LinkNet, ID: "n", SocketPath: "/n", MAC: []byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Queues: 2},
				{Kind: vmm.LinkFS, ID: "f", SocketPath: "/f"},
			},
			Vsock: &vmm.Vsock{GuestCID: 3, SocketPath: "/v"},
		},
		Accelerator: "tcg",
	}
}

func TestMachineSurvivesTheWire(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	created, err := c.Create(t.Context(), fullMachine())
	if err != nil {
		t.Fatal(err)
	}
	if want := (vmm.Created{Accelerator: "tcg", Monitor: "fake 1"}); created != want {
		t.Errorf("created = %+v, want %+v", created, want)
	}
	if diff := cmp.Diff(fullMachine(), f.machine); diff != "" {
		t.Errorf("the machine changed on the way (-sent +received):\n%s", diff)
	}
}

func TestRestoreSendsItsWiresAndDisks(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	m := fullMachine()
	if err := c.Restore(t.Context(), "/snap", m.Wires, m.Disks); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Wires, f.wires) + cmp.Diff(m.Disks, f.disks); diff != "" || f.dir != "/snap" {
		t.Errorf("dir %q, wires or disks differ:\n%s", f.dir, diff)
	}
}

func TestRelinkSendsItsLink(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	link := fullMachine().Links[0]
	if err := c.Relink(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]vmm.Link{link}, f.wires.Links); diff != "" {
		t.Error(diff)
	}
	if err := c.Relink(t.Context(), vmm.Link{ID: "n"}); !errors.Is(err, errdef.ErrInvalid) || len(f.calls) != 1 {
		t.Errorf("a link of no kind: %v, calls %v", err, f.calls)
	}
}

func TestPlainCallsReachTheirMethod(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	ctx := t.Context()
	for _, call := range []func() error{
		func() error { return c.Start(ctx) },
		func() error { return c.Pause(ctx) },
		func() error { return c.Resume(ctx) },
		func() error { return c.Snapshot(ctx, "/s") },
		func() error { return c.Stop(ctx, 3*time.Second) },
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"start", "pause", "resume", "snapshot", "stop"}, f.calls); diff != "" {
		t.Error(diff)
	}
	if f.grace != 3*time.Second {
		t.Errorf("grace = %v, want 3s", f.grace)
	}
	metrics, err := c.Metrics(ctx)
	if err != nil || metrics["vsock.rx_bytes"] != 7 {
		t.Errorf("metrics = %v, %v", metrics, err)
	}
}

func TestEveryEventKindSurvives(t *testing.T) {
	var sent []vmm.Event
	for _, kind := range []vmm.EventKind{vmm.Started, vmm.Paused, vmm.Resumed, vmm.Reset, vmm.PowerOff, vmm.Panic, vmm.Failed, vmm.LinkDown, vmm.LinkUp, vmm.Stopped} {
		sent = append(sent, vmm.Event{Kind: kind, Detail: "d", State: map[string]string{"rip": "0x1"}, Device: "net0"})
	}
	var got []vmm.Event
	err := serve(t, &fake{events: sent}).Watch(t.Context(), func(e vmm.Event) error {
		got = append(got, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownEventIsIgnored(t *testing.T) {
	c := serve(t, &fake{events: []vmm.Event{{Kind: "from the future"}, {Kind: vmm.Stopped}}})
	var got []vmm.EventKind
	if err := c.Watch(t.Context(), func(e vmm.Event) error { got = append(got, e.Kind); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]vmm.EventKind{vmm.Stopped}, got); diff != "" {
		t.Error(diff)
	}
}

func TestConsoleStopsWhenTheReaderFails(t *testing.T) {
	c := serve(t, &fake{console: []string{"a", "b"}})
	enough := errors.New("enough")
	var seen string
	err := c.Console(t.Context(), true, func(data []byte, lost uint64) error {
		seen += string(data)
		if lost == 1 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != "ab" {
		t.Errorf("saw %q, error %v", seen, err)
	}
}

func TestErrorsKeepKindAndRemedy(t *testing.T) {
	refused := errdef.New(errdef.ErrUnavailable, "qemu is not installed").WithReason("no_qemu").WithRemedy("install it")
	c := serve(t, &fake{err: refused})
	_, err := c.Create(t.Context(), fullMachine())
	if !errors.Is(err, errdef.ErrUnavailable) || errdef.Remedy(err) != "install it" {
		t.Errorf("error %v with remedy %q", err, errdef.Remedy(err))
	}
}

func TestBadMachinesAreRefused(t *testing.T) {
	for name, change := range map[string]func(*vmm.Machine){
		"negative cpus":    func(m *vmm.Machine) { m.CPUs = -1 },
		"unknown link":     func(m *vmm.Machine) { m.Links[0].Kind = "usb" },
		"oversize content": func(m *vmm.Machine) { m.Initrd[1].Content = make([]byte, vmm.MaxSegmentContent+1) },
	} {
		t.Run(name, func(t *testing.T) {
			m := fullMachine()
			change(&m)
			f := &fake{}
			if _, err := serve(t, f).Create(t.Context(), m); !errors.Is(err, errdef.ErrInvalid) {
				t.Errorf("error = %v, want one of kind ErrInvalid", err)
			}
			if f.machine.Name != "" {
				t.Error("the machine reached the monitor")
			}
		})
	}
}
