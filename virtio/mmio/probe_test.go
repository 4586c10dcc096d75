//go:build linux

package mmio_test

import (
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/mmio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// probe is a device that does nothing but remember what the transport does to it.
type probe struct {
	fail error         // of Activate
	hold chan struct{} // Stop and Reset send to it, if it is not nil, and wait until held is closed
	held chan struct{}

	mu         sync.Mutex
	running    bool
	activation virtio.Activation
	calls      []string
	config     [16]byte
	state      string // as saved and loaded
}

func (p *probe) record(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, what)
}

// take returns the calls since the last time.
func (p *probe) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	p.calls = nil
	return calls
}

func (*probe) DeviceID() uint32     { return virtio.IDConsole }
func (*probe) Features() uint64     { return 1<<3 | 1<<40 }
func (*probe) QueueSizes() []uint16 { return []uint16{8, 16} }

func (p *probe) ReadConfig(offset uint32, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(b)
	if int(offset) < len(p.config) {
		copy(b, p.config[offset:])
	}
}

func (p *probe) WriteConfig(offset uint32, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(offset) < len(p.config) {
		copy(p.config[offset:], b)
	}
}

func (p *probe) Activate(a virtio.Activation) error {
	p.record("activate")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.activation, p.running = a, p.fail == nil
	return p.fail
}

func (p *probe) Stop() { p.end("stop") }

func (p *probe) Reset() { p.end("reset") }

func (p *probe) end(how string) {
	if p.hold != nil {
		p.hold <- struct{}{}
		<-p.held
	}
	p.record(how)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
}

func (p *probe) SaveState() ([]byte, error) { return json.Marshal(p.state) }

func (p *probe) LoadState(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "bad" {
		return virtio.ErrState
	}
	p.state = s
	return nil
}

// line is an interrupt line that notes what InterruptStatus was when it was signalled.
type line struct {
	transport *mmio.Transport
	seen      []uint32
}

func (l *line) Signal() error {
	l.seen = append(l.seen, get(l.transport, virtiotest.RegInterruptStatus))
	return nil
}

func (l *line) take() []uint32 {
	seen := l.seen
	l.seen = nil
	return seen
}

// newProbe returns a transport, its device and its line, of a guest with a MiB of memory.
func newProbe(t testing.TB) (*mmio.Transport, *probe, *line) {
	t.Helper()
	return probeOn(t, virtiotest.NewMemory(t, 1<<20), &probe{})
}

func probeOn(t testing.TB, mem *virtiotest.Memory, p *probe) (*mmio.Transport, *probe, *line) {
	t.Helper()
	l := &line{}
	transport, err := mmio.New(mmio.Config{Device: p, Memory: mem.Memory, Interrupt: l, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l.transport = transport
	t.Cleanup(func() {
		if err := transport.Close(); err != nil {
			t.Error(err)
		}
	})
	return transport, p, l
}

func get(t *mmio.Transport, offset uint64) uint32 {
	var b [4]byte
	t.Read(offset, b[:])
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func set(t *mmio.Transport, offset uint64, v uint32) {
	t.Write(offset, virtiotest.U32(v))
}

// set64 writes a pair of registers.
func set64(t *mmio.Transport, offset, v uint64) {
	set(t, offset, uint32(v))
	set(t, offset+4, uint32(v>>32))
}

// negotiate goes as far as FEATURES_OK with VERSION_1 alone.
func negotiate(t *mmio.Transport) {
	set(t, virtiotest.RegStatus, 0)
	set(t, virtiotest.RegStatus, 1)
	set(t, virtiotest.RegStatus, 3)
	set(t, virtiotest.RegDriverFeaturesSel, 1)
	set(t, virtiotest.RegDriverFeatures, 1)
	set(t, virtiotest.RegStatus, 11)
}

// layout sets up queue i, of 8, on a page of its own.
func layout(t *mmio.Transport, i int) {
	base := uint64(virtiotest.Base + 4096*i)
	set(t, virtiotest.RegQueueSel, uint32(i))
	set(t, virtiotest.RegQueueNum, 8)
	set64(t, virtiotest.RegQueueDesc, base)
	set64(t, virtiotest.RegQueueDriver, base+1024)
	set64(t, virtiotest.RegQueueDevice, base+2048)
	set(t, virtiotest.RegQueueReady, 1)
}

// start initializes the device with both queues.
func start(t *mmio.Transport) {
	negotiate(t)
	layout(t, 0)
	layout(t, 1)
	set(t, virtiotest.RegStatus, 15)
}
