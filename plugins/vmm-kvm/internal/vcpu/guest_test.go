package vcpu

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/memory"
)

// Where a guest of these tests has its code, the counter that it counts, and its devices.
const (
	codeAt32    = 0x100000 // also the entry point
	apCodeAt    = 0x10000  // vector 0x10 of a SIPI
	counterAt   = 0x80000
	deviceAt    = 0xc0001000
	debugPort   = 0xe9 // takes up to four bytes
	endPort     = 0xf4 // ends the VM
	guestMemory = 4 << 20
)

// guest is a VM that runs a few instructions.
type guest struct {
	t     testing.TB
	sys   *kvm.System
	vm    *kvm.VM
	ram   *memory.RAM
	mmio  *bus.Bus
	pio   *bus.Bus
	set   *Set
	debug wire
}

// wire is the device at debugPort: it keeps what it is told, and lets a test wait for it.
type wire struct {
	mu    sync.Mutex
	words []uint64
	said  chan struct{} // has an element while there are words nobody waited for
}

func (w *wire) Read(_ uint64, p []byte) { clear(p) }

func (w *wire) Write(_ uint64, p []byte) {
	var word uint64
	for i, b := range p {
		word |= uint64(b) << (8 * i)
	}
	w.mu.Lock()
	w.words = append(w.words, word)
	w.mu.Unlock()
	select {
	case w.said <- struct{}{}:
	default:
	}
}

func (w *wire) all() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]uint64(nil), w.words...)
}

// button is the device at endPort.
type button struct{ press func() }

func (b button) Read(_ uint64, p []byte) { clear(p) }
func (b button) Write(uint64, []byte)    { b.press() }

// newGuest makes a VM with count vCPUs, the first of which is at the beginning of code.
func newGuest(t testing.TB, count int, protocol cpu.Protocol, code ...byte) *guest {
	t.Helper()
	g := newMachine(t, count, nil)
	g.write(codeAt32, code)
	entry := cpu.Entry{Protocol: protocol, Addr: codeAt32}
	must(t, entry.Tables(g.ram.Memory()))
	supported, err := g.sys.GetSupportedCPUID()
	must(t, err)
	for id := range count {
		must(t, cpu.Reset(g.set.VCPU(id), cpu.CPUID(supported, id, count)))
	}
	must(t, entry.Enter(g.set.VCPU(0)))
	return g
}

// newMachine makes a VM whose vCPUs are as KVM creates them, with memory of its own unless it is given some.
func newMachine(t testing.TB, count int, ram *memory.RAM) *guest {
	t.Helper()
	requireKVM(t)
	g := &guest{t: t, ram: ram, mmio: &bus.Bus{}, pio: &bus.Bus{}}
	g.debug.said = make(chan struct{}, 1)
	var err error
	g.sys, err = kvm.Open()
	must(t, err)
	t.Cleanup(func() { must(t, g.sys.Close()) })
	g.vm, err = g.sys.CreateVM()
	must(t, err)
	t.Cleanup(func() { must(t, g.vm.Close()) })
	must(t, g.vm.SetTSSAddr(0xfffbd000))
	must(t, g.vm.SetIdentityMapAddr(0xfffbc000))
	must(t, g.vm.CreateIRQChip())
	if ram == nil {
		g.ram, err = memory.New(guestMemory, memory.Options{})
		must(t, err)
		t.Cleanup(func() { must(t, g.ram.Close()) })
	}
	must(t, g.ram.Attach(g.vm))
	g.set, err = New(Config{VM: g.vm, Count: count, Memory: g.ram.Memory(), MMIO: g.mmio, PIO: g.pio})
	must(t, err)
	t.Cleanup(func() { must(t, g.set.Close()) })
	must(t, g.pio.Attach("debug", debugPort, 4, &g.debug))
	must(t, g.pio.Attach("end", endPort, 1, button{g.set.Stop}))
	return g
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (g *guest) write(addr uint64, p []byte) {
	g.t.Helper()
	must(g.t, g.ram.Memory().WriteAt(p, addr))
}

func (g *guest) start() {
	g.t.Helper()
	must(g.t, g.set.Launch())
	must(g.t, g.set.Resume())
}

// deadline is how long a test waits for what takes milliseconds, also on an emulated machine.
const deadline = time.Minute

func (g *guest) wait(what string, c <-chan struct{}) {
	g.t.Helper()
	select {
	case <-c:
	case <-time.After(deadline):
		g.t.Fatalf("waited in vain for %s; counters %v", what, g.set.Counters())
	}
}

// counter reads what the guest counts at counterAt.
func (g *guest) counter() uint64 {
	var p [4]byte
	must(g.t, g.ram.Memory().ReadAt(p[:], counterAt))
	return uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16 | uint64(p[3])<<24
}

// device answers reads with 1, 2, 3 and so on, and keeps what was written last.
type device struct {
	reads atomic.Uint32
	last  atomic.Uint32
}

func (d *device) Read(_ uint64, p []byte) {
	n := d.reads.Add(1)
	for i := range p {
		p[i] = byte(n >> (8 * i))
	}
}

func (d *device) Write(_ uint64, p []byte) {
	var n uint32
	for i, b := range p {
		n |= uint32(b) << (8 * i)
	}
	d.last.Store(n)
}

// Instructions, of 32-bit code unless they say otherwise. A list of them is a program.
var (
	cpuid        = []byte{0x0f, 0xa2}
	hlt          = []byte{0xf4}
	ud2          = []byte{0x0f, 0x0b}
	spin         = []byte{0xeb, 0xfe}                               // jmp .
	end          = []byte{0xe6, endPort}                            // out endPort, al
	sayEAX       = []byte{0xe7, debugPort}                          // out debugPort, eax
	readDevice   = []byte{0xa1, 0x00, 0x10, 0x00, 0xc0}             // mov eax, [deviceAt]
	writeDevice  = []byte{0xa3, 0x50, 0x10, 0x00, 0xc0}             // mov [deviceAt+0x50], eax
	count        = []byte{0xff, 0x05, 0x00, 0x00, 0x08, 0x00}       // inc dword [counterAt]
	compare      = []byte{0x3b, 0x05, 0x00, 0x00, 0x08, 0x00}       // cmp eax, [counterAt]
	readDevice64 = []byte{0xa1, 0x00, 0x10, 0x00, 0xc0, 0, 0, 0, 0} // mov eax, [deviceAt], 64-bit code
)

func movEAX(n uint32) []byte { return append([]byte{0xb8}, le32(n)...) }
func movECX(n uint32) []byte { return append([]byte{0xb9}, le32(n)...) }

// store is mov dword [addr], n.
func store(addr, n uint32) []byte {
	return append(append([]byte{0xc7, 0x05}, le32(addr)...), le32(n)...)
}

func le32(n uint32) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)} }

func program(parts ...[]byte) []byte {
	var code []byte
	for _, p := range parts {
		code = append(code, p...)
	}
	return code
}

// back is a jump from the end of code to its beginning, appended to it.
func back(code []byte) []byte { return append(code, 0xeb, byte(-(len(code) + 2))) }
