package uart

import (
	"io"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

// UART is one serial port. Its methods may be called from several threads at once.
type UART struct {
	out io.Writer
	irq virtio.Call

	mu   sync.Mutex
	reg  state
	sent [1]byte // the byte on its way out, here so that it is not allocated
}

// state is what the guest can see of a port.
type state struct {
	IER, LCR, MCR, Scratch byte
	Divisor                uint16
	FIFO                   bool // FCR's enable bit
	Overrun                bool
	Modem                  byte // modem lines, and their changes since MSR was read
	Empty                  bool // THRE is pending: not yet reported by IIR
	Input                  []byte
}

// New returns a port in its state after reset. Output goes to out, which must not block; what out returns is ignored, since a
// guest cannot be told. irq is signalled for each rising edge of the interrupt output.
func New(out io.Writer, irq virtio.Call) *UART {
	u := &UART{out: out, irq: irq}
	u.reg = state{Divisor: divisorOf115200, Modem: msrThere, Input: make([]byte, 0, fifoSize)}
	return u
}

// Receive feeds p to the guest's receiver and returns how much of it there was room for: at most 16 bytes until the guest reads
// some. The rest is the caller's to keep, so that nothing is lost.
func (u *UART) Receive(p []byte) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	high := u.interrupting()
	n := min(len(p), fifoSize-len(u.reg.Input))
	u.reg.Input = append(u.reg.Input, p[:n]...)
	u.signal(high)
	return n
}

// Read reads registers, from the one at offset on. Past the last one all bits are set, as where there is no device.
func (u *UART) Read(offset uint64, p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	high := u.interrupting()
	for i := range p {
		p[i] = 0xff
		if at := offset + uint64(i); at < registers {
			p[i] = u.readRegister(at)
		}
	}
	u.signal(high)
}

// Write writes registers, from the one at offset on.
func (u *UART) Write(offset uint64, p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	high := u.interrupting()
	for i, v := range p {
		if at := offset + uint64(i); at < registers {
			u.writeRegister(at, v)
		}
	}
	u.signal(high)
}

func (u *UART) readRegister(at uint64) byte {
	r := &u.reg
	latch := r.LCR&lcrDLAB != 0
	switch at {
	case regData:
		if latch {
			return byte(r.Divisor)
		}
		return r.pop()
	case regIER:
		if latch {
			return byte(r.Divisor >> 8)
		}
		return r.IER
	case regIIR:
		return r.identify()
	case regLCR:
		return r.LCR
	case regMCR:
		return r.MCR
	case regLSR:
		return r.lineStatus()
	case regMSR:
		v := r.Modem
		r.Modem &^= msrDeltas
		return v
	}
	return r.Scratch
}

func (u *UART) writeRegister(at uint64, v byte) {
	r := &u.reg
	latch := r.LCR&lcrDLAB != 0
	switch at {
	case regData:
		if latch {
			r.Divisor = r.Divisor&0xff00 | uint16(v)
			return
		}
		u.transmit(v)
	case regIER:
		if latch {
			r.Divisor = r.Divisor&0xff | uint16(v)<<8
			return
		}
		r.enable(v)
	case regIIR:
		r.control(v)
	case regLCR:
		r.LCR = v
	case regMCR:
		r.setModem(v)
	case regScratch:
		r.Scratch = v
	} // LSR and MSR cannot be written
}

// transmit sends a byte: to its own receiver in loopback mode, else out.
func (u *UART) transmit(v byte) {
	r := &u.reg
	r.Empty = true
	if r.MCR&mcrLoop == 0 {
		u.sent[0] = v
		_, _ = u.out.Write(u.sent[:])
		return
	}
	if len(r.Input) == fifoSize {
		r.Overrun = true
		return
	}
	r.Input = append(r.Input, v)
}

// interrupting is the interrupt output.
func (u *UART) interrupting() bool { return u.reg.cause() != iirNone }

// signal is called after a change, with the interrupt output before it.
func (u *UART) signal(high bool) {
	if !high && u.interrupting() {
		_ = u.irq.Signal() // fails only once the VM is being torn down
	}
}
