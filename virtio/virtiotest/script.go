//go:build linux

package virtiotest

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
)

// Operations of a script, the first byte of each. Their arguments follow; what is missing at the end is zero.
const (
	opStart   = iota // features (1): initialize with all features, or those of the low byte's mask
	opChain          // queue (1), descriptors (1), then for each: length (2), write (1), and that many bytes of data where it is for the device to read
	opPublish        // queue (1)
	opWrite          // offset (2), value (4)
	opRead           // offset (2), length (1)
	opConfig         // offset (1), length (1), bytes
	opPoke           // address (2), length (1), bytes
	opKick           // queue (1)
	opPause          //
	opReset          //
	opMove           // to another device
	opSettle         //
	opCount
)

const (
	scriptSteps = 64
	scriptRing  = 8
)

// ScriptMemory is the size of the memory that a script's guest has, from Base on.
const ScriptMemory = 1 << 18

// Play drives a device over virtio-mmio as the bytes of script say, which a fuzzer makes up: registers, configuration space,
// memory, chains. It is the body of a device's fuzz target; check is called after each step and may be nil.
//
//	f.Fuzz(func(t *testing.T, script []byte) {
//		virtiotest.Play(t, func(t testing.TB) virtio.Device { return rng.New() }, script, nil)
//	})
func Play(t testing.TB, newDevice func(t testing.TB) virtio.Device, script []byte, check func()) {
	defer watch(t).Stop()
	mem := NewMemory(t, ScriptMemory)
	p := &player{MMIODriver: NewMMIODriver(t, newDevice(t), mem), newDevice: newDevice, in: script}
	p.Start(AllFeatures, scriptRing)
	p.data = mem.Alloc(1 << 16)
	for range scriptSteps {
		if len(p.in) == 0 {
			break
		}
		p.step(t)
		if check != nil {
			check()
		}
	}
	p.settle()
	p.Reset()
}

type player struct {
	*MMIODriver
	newDevice func(t testing.TB) virtio.Device
	in        []byte
	data      uint64
	used      int // bytes of data
}

func (p *player) bytes(n int) []byte {
	b := make([]byte, n)
	p.in = p.in[copy(b, p.in):]
	return b
}

func (p *player) u8() int  { return int(p.bytes(1)[0]) }
func (p *player) u16() int { return int(binary.LittleEndian.Uint16(p.bytes(2))) }

func (p *player) ring() (int, *Ring) {
	i := p.u8() % len(p.Rings)
	return i, p.Rings[i]
}

func (p *player) step(t testing.TB) {
	switch p.u8() % opCount {
	case opStart:
		p.Start(AllFeatures&^uint64(p.u8()), scriptRing)
	case opChain:
		p.chain()
	case opPublish:
		_, r := p.ring()
		r.Publish()
	case opWrite:
		offset := uint64(p.u16())
		p.Set(offset, binary.LittleEndian.Uint32(p.bytes(4)))
	case opRead:
		p.Transport.Read(uint64(p.u16()), make([]byte, p.u8()%16))
	case opConfig:
		offset := RegConfig + uint64(p.u8())
		p.Transport.Write(offset, p.bytes(p.u8()%16))
	case opPoke:
		addr := p.u16()
		copy(p.Mem.Bytes[addr:], p.bytes(p.u8()))
	case opKick:
		i, _ := p.ring()
		p.Set(RegQueueNotify, uint32(i))
	case opPause:
		p.Transport.Pause()
		p.Transport.Resume()
	case opReset:
		p.Reset()
	case opMove:
		if _, ok := p.device.(virtio.Stateful); ok {
			p.MMIODriver = p.Move(p.newDevice(t))
		}
	case opSettle:
		p.settle()
	}
}

// chain adds one chain, whose data lies behind that of the chains before.
func (p *player) chain() {
	_, r := p.ring()
	bufs := make([]Buffer, 1+p.u8()%4)
	for i := range bufs {
		b := &bufs[i]
		b.Len, b.Write = 1+p.u16()%4096, p.u8()&1 == 1
		if p.used+b.Len > 1<<16 {
			p.used = 0
		}
		b.Addr = p.data + uint64(p.used)
		p.used += b.Len
		if !b.Write {
			copy(p.Mem.At(b.Addr, b.Len), p.bytes(min(b.Len, len(p.in))))
		}
	}
	r.Add(bufs...)
}

// settle gives the device a chance to do what it was kicked for, and takes back what it has used.
func (p *player) settle() {
	for range 20 {
		runtime.Gosched()
	}
	for _, r := range p.Rings {
		for range r.Size {
			r.Reap()
		}
	}
}

// AddScripts adds scripts to f's seed corpus: what any device is asked, and for each of chains, which are the readable bytes of a
// request, one that sends it on queue i with 4 KiB of room.
func AddScripts(f *testing.F, queue byte, chains ...[]byte) {
	f.Add([]byte{opStart, 0, opKick, 0, opKick, 1, opPause, opReset, opStart, 0xff, opMove})
	f.Add([]byte{opRead, 0, 1, 8, opConfig, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, opWrite, 0x70, 0, 0, 0, 0, 0, opWrite, 0x70, 0, 3, 0, 0, 0})
	f.Add([]byte{opPoke, 0, 0, 32, 0, 0, 1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 2, 0, 0, 0, opKick, 0, opSettle})
	for _, c := range chains {
		if len(c) == 0 {
			f.Add([]byte{opChain, queue, 0, 0xff, 0x0f, 1, opPublish, queue, opSettle})
			continue
		}
		s := []byte{opChain, queue, 1, byte(len(c) - 1), byte((len(c) - 1) >> 8), 0}
		s = append(s, c...)
		s = append(s, 0xff, 0x0f, 1, opPublish, queue, opSettle, opPause, opMove, opPublish, queue)
		f.Add(s)
	}
}
