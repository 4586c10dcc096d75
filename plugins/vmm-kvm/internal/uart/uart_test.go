package uart_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/uart"
	"github.com/voidbox-run/voidbox/virtio"
)

// Registers and bits, as drivers know them (Linux: include/uapi/linux/serial_reg.h).
const (
	data, ier, iir, fcr, lcr, mcr, lsr, msr, scr = 0, 1, 2, 2, 3, 4, 5, 6, 7

	noInterrupt, interruptMSR, interruptTHRE, interruptRDA, interruptRLS = 0x01, 0x00, 0x02, 0x04, 0x06
)

// port is a UART as a driver sees it.
type port struct {
	*uart.UART
	out     bytes.Buffer
	signals int
}

func newPort() *port {
	p := &port{}
	p.UART = uart.New(&p.out, p)
	return p
}

// Signal implements virtio.Call.
func (p *port) Signal() error { p.signals++; return nil }

func (p *port) in(register uint64) byte {
	var b [1]byte
	p.Read(register, b[:])
	return b[0]
}

func (p *port) put(register uint64, v byte) { p.Write(register, []byte{v}) }

func (p *port) expect(t *testing.T, what string, register uint64, want byte) {
	t.Helper()
	if got := p.in(register); got != want {
		t.Errorf("%s: register %d is %#02x, want %#02x", what, register, got, want)
	}
}

// The steps of autoconfig in Linux' drivers/tty/serial/8250/8250_port.c, at whose end the port has to be a 16550A.
func TestLinuxFindsA16550A(t *testing.T) {
	p := newPort()
	p.put(ier, 0)
	p.expect(t, "IER cleared", ier, 0)
	p.put(ier, 0x0f)
	p.expect(t, "IER set", ier, 0x0f)
	p.put(ier, 0)

	p.put(mcr, 0x10|0x0a) // loopback, with OUT2 and RTS
	if got := p.in(msr) & 0xf0; got != 0x90 {
		t.Errorf("loopback: MSR is %#02x, want DCD and CTS", got)
	}
	p.put(mcr, 0)

	p.put(lcr, 0xbf) // a 16650 has an EFR here
	p.put(iir, 0)
	p.put(lcr, 0)
	p.put(fcr, 1)
	if got := p.in(iir) >> 6; got != 3 {
		t.Errorf("FIFO bits of IIR are %d, want 3: a 16550A", got)
	}
	p.put(lcr, 0x80) // a 16C950 has zeroes here
	if p.in(iir) == 0 {
		t.Error("looks like a 16C950")
	}
	p.put(lcr, 0)
	p.put(ier, 0x40) // an XScale port has a unit enable bit
	p.expect(t, "no UUE", ier, 0)

	p.put(scr, 0xa5)
	p.expect(t, "scratch", scr, 0xa5)
	if got := p.in(msr) & 0xf0; got != 0xb0 {
		t.Errorf("MSR is %#02x, want a terminal that is there", got)
	}
}

func TestDivisorLatchHidesTwoRegisters(t *testing.T) {
	p := newPort()
	p.put(ier, 1)
	p.put(lcr, 0x83)
	p.put(data, 0x0c)
	p.put(ier, 0x02)
	p.expect(t, "DLL", data, 0x0c)
	p.expect(t, "DLM", ier, 0x02)
	p.put(lcr, 0x03)
	p.expect(t, "IER", ier, 1)
	p.expect(t, "LCR", lcr, 0x03)
	if p.out.Len() != 0 {
		t.Errorf("the divisor went out: %q", p.out.String())
	}
}

func TestOutput(t *testing.T) {
	p := newPort()
	for _, b := range []byte("hello\n") {
		p.expect(t, "transmitter empty", lsr, 0x60)
		p.put(data, b)
	}
	if p.out.String() != "hello\n" {
		t.Errorf("%q came out", p.out.String())
	}
	if p.signals != 0 {
		t.Errorf("%d interrupts that nobody enabled", p.signals)
	}
}

// Linux sends up to sixteen bytes for each interrupt, and counts on the one that enabling raises.
func TestTransmitterInterrupts(t *testing.T) {
	p := newPort()
	p.put(fcr, 1)
	p.put(ier, 2)
	if p.signals != 1 {
		t.Fatalf("enabling: %d signals, want 1", p.signals)
	}
	p.expect(t, "enabled", iir, 0xc0|interruptTHRE)
	p.expect(t, "reported once", iir, 0xc0|noInterrupt)
	for range 16 {
		p.put(data, 'x')
	}
	if p.signals != 2 {
		t.Errorf("sixteen bytes: %d signals, want 1", p.signals-1)
	}
	p.expect(t, "sent", iir, 0xc0|interruptTHRE)
	p.put(ier, 2)
	p.expect(t, "enabled already", iir, 0xc0|noInterrupt)
	p.put(ier, 0)
	p.put(ier, 2) // serial8250_do_startup: a port that raises none now is one with a bug
	p.expect(t, "enabled again", iir, 0xc0|interruptTHRE)
	if p.signals != 3 {
		t.Errorf("enabled again: %d signals, want 1", p.signals-2)
	}
}

func TestInput(t *testing.T) {
	p := newPort()
	p.put(ier, 1)
	if n := p.Receive([]byte("0123456789abcdefXYZ")); n != 16 {
		t.Errorf("%d bytes were taken, want 16", n)
	}
	if p.signals != 1 {
		t.Errorf("%d signals, want 1", p.signals)
	}
	if n := p.Receive([]byte("X")); n != 0 {
		t.Errorf("a full port took %d bytes", n)
	}
	p.expect(t, "data", iir, interruptRDA)
	for _, want := range []byte("0123456789abcdef") {
		p.expect(t, "data ready", lsr, 0x61)
		p.expect(t, "byte", data, want)
	}
	p.expect(t, "all read", lsr, 0x60)
	p.expect(t, "nothing more", data, 0)
	p.expect(t, "quiet", iir, noInterrupt)

	p.Receive([]byte("lost"))
	p.put(fcr, 1|2)
	p.expect(t, "cleared", lsr, 0x60)
}

func TestLoopback(t *testing.T) {
	p := newPort()
	p.put(fcr, 1)
	p.put(ier, 1|4)
	p.put(mcr, 0x10)
	for i := range byte(17) {
		p.put(data, i)
	}
	if p.out.Len() != 0 {
		t.Errorf("%d bytes went out", p.out.Len())
	}
	p.expect(t, "overrun comes first", iir, 0xc0|interruptRLS)
	p.expect(t, "overrun", lsr, 0x63)
	p.expect(t, "overrun is told once", lsr, 0x61)
	p.expect(t, "then data", iir, 0xc0|interruptRDA)
	for i := range byte(16) {
		p.expect(t, "byte", data, i)
	}
}

func TestModemStatus(t *testing.T) {
	p := newPort()
	p.put(mcr, 0x10|0x0f)
	p.expect(t, "all lines", msr, 0xf0) // CTS, DSR and DCD were on before, RI begins to ring
	p.put(ier, 8)
	p.put(mcr, 0x10|0x01)
	p.expect(t, "changed", iir, interruptMSR)
	p.expect(t, "deltas", msr, 0x20|0x01|0x04|0x08)
	p.expect(t, "deltas are told once", msr, 0x20)
	p.expect(t, "quiet", iir, noInterrupt)
}

// An access may be wider than a register, and end past the last one.
func TestWideAccesses(t *testing.T) {
	p := newPort()
	p.Write(6, []byte{1, 0x5a, 3, 4})
	got := make([]byte, 4)
	p.Read(6, got)
	if want := []byte{0xb0, 0x5a, 0xff, 0xff}; !bytes.Equal(got, want) {
		t.Errorf("read % x, want % x", got, want)
	}
}

func TestStateSurvives(t *testing.T) {
	old := newPort()
	old.put(fcr, 1)
	old.put(lcr, 0x80)
	old.put(data, 0x34)
	old.put(ier, 0x12)
	old.put(lcr, 0x03)
	old.put(ier, 0x05)
	old.put(mcr, 0x0b)
	old.put(scr, 0x77)
	old.Receive([]byte("typed"))
	state, err := old.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	p := newPort()
	if err := p.LoadState(state); err != nil {
		t.Fatal(err)
	}
	if p.signals != 1 {
		t.Errorf("a pending interrupt was signalled %d times", p.signals)
	}
	for register := range uint64(8) {
		if got, want := p.in(register), old.in(register); got != want {
			t.Errorf("register %d is %#02x, was %#02x", register, got, want)
		}
	}
	p.put(lcr, 0x80)
	p.expect(t, "DLL", data, 0x34)
	p.expect(t, "DLM", ier, 0x12)
	if again, err := old.SaveState(); err != nil || bytes.Equal(again, state) {
		t.Errorf("reading a byte did not change the state (%v)", err)
	}
}

func TestBadStateChangesNothing(t *testing.T) {
	p := newPort()
	before, err := p.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		``, `{}`, `{"version":2,"data":{}}`, `{"version":1,"data":{"IER":16}}`, `{"version":1,"data":{"MCR":32}}`,
		`{"version":1,"data":{"Unknown":1}}`, `{"version":1,"data":{"Input":"MDEyMzQ1Njc4OWFiY2RlZmc="}}`,
	} {
		if err := p.LoadState([]byte(bad)); !errors.Is(err, virtio.ErrState) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if after, err := p.SaveState(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("state was %s, is %s (%v)", before, after, err)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	u := uart.New(io.Discard, newPort())
	u.Write(ier, []byte{0x0f})
	b := []byte{'x'}
	if n := testing.AllocsPerRun(100, func() {
		u.Write(data, b)
		u.Receive(b)
		for register := range uint64(8) {
			u.Read(register, b)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a guest does, the interrupt line follows the output, and nothing comes out that was not written.
func FuzzAccesses(f *testing.F) {
	f.Add([]byte{ier, 0x0f, data, 'x', 8 + iir, 0, mcr, 0x1f, data, 'y', 8 + data, 0})
	r := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 500)
	for i := range long {
		long[i] = byte(r.Uint32())
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, accesses []byte) {
		p := newPort()
		sent := 0
		for access := range slices.Chunk(accesses, 2) {
			if len(access) < 2 {
				break
			}
			quiet, signals := p.quiet(t), p.signals
			switch register := uint64(access[0] % 8); access[0] / 8 % 3 {
			case 0:
				p.put(register, access[1])
				sent++
			case 1:
				p.in(register)
			case 2:
				p.Receive(access[1:])
			}
			// An edge-triggered line: whoever is interrupted must have heard of it, once.
			if rose := quiet && !p.quiet(t); rose != (p.signals == signals+1) || p.signals > signals+1 {
				t.Fatalf("%d: output rose: %v, signals: %d", access, rose, p.signals-signals)
			}
		}
		if p.out.Len() > sent {
			t.Errorf("%d bytes came out of %d writes", p.out.Len(), sent)
		}
	})
}

// quiet reads IIR on a copy, since reading it has effects.
func (p *port) quiet(t *testing.T) bool {
	t.Helper()
	state, err := p.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	copied := newPort()
	if err := copied.LoadState(state); err != nil {
		t.Fatal(err)
	}
	return copied.in(iir)&1 == 1
}

func BenchmarkOutput(b *testing.B) {
	u := uart.New(io.Discard, newPort())
	status, char := make([]byte, 1), []byte{'x'}
	b.ReportAllocs()
	for b.Loop() { // what Linux does for each byte of a console
		u.Read(lsr, status)
		u.Write(data, char)
	}
}
