package uart

import (
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

// cause returns the pending cause of highest priority, as IIR names it.
func (r *state) cause() byte {
	switch {
	case r.IER&ierLine != 0 && r.Overrun:
		return iirLine
	case r.IER&ierData != 0 && len(r.Input) > 0:
		return iirData
	case r.IER&ierEmpty != 0 && r.Empty:
		return iirEmpty
	case r.IER&ierModem != 0 && r.Modem&msrDeltas != 0:
		return iirModem
	}
	return iirNone
}

// identify reads IIR, which takes the transmitter's interrupt back once it is reported.
func (r *state) identify() byte {
	v := r.cause()
	if v == iirEmpty {
		r.Empty = false
	}
	if r.FIFO {
		v |= iirFIFO
	}
	return v
}

// enable writes IER. Enabling the transmitter's interrupt raises it, as the transmitter is empty: this is how drivers start to
// send, and Linux takes a port that does not do so for a broken one.
func (r *state) enable(v byte) {
	v &= ierBits
	if v&^r.IER&ierEmpty != 0 {
		r.Empty = true
	}
	r.IER = v
}

// control writes FCR. Switching the FIFOs on or off empties them.
func (r *state) control(v byte) {
	on := v&fcrEnable != 0
	if on != r.FIFO || on && v&fcrClear != 0 {
		r.Input = r.Input[:0]
	}
	r.FIFO = on
}

func (r *state) lineStatus() byte {
	v := byte(lsrEmpty)
	if len(r.Input) > 0 {
		v |= lsrData
	}
	if r.Overrun {
		v |= lsrOverrun
		r.Overrun = false
	}
	return v
}

// pop takes a byte from the receiver.
func (r *state) pop() byte {
	if len(r.Input) == 0 {
		return 0
	}
	v := r.Input[0]
	r.Input = r.Input[:copy(r.Input, r.Input[1:])]
	return v
}

// setModem writes MCR. In loopback mode its outputs are the modem's lines.
func (r *state) setModem(v byte) {
	r.MCR = v & mcrBits
	lines := byte(msrThere)
	if v&mcrLoop != 0 {
		lines = loopback(v)
	}
	r.Modem = lines | r.Modem&msrDeltas | changes(r.Modem, lines)
}

func loopback(mcr byte) (lines byte) {
	for _, wire := range [...]struct{ from, to byte }{
		{mcrDTR, msrDSR}, {mcrRTS, msrCTS}, {mcrOut1, msrRI}, {mcrOut2, msrDCD},
	} {
		if mcr&wire.from != 0 {
			lines |= wire.to
		}
	}
	return lines
}

// changes returns the delta bits for modem lines that go from before to after. The ring indicator counts when it ends.
func changes(before, after byte) byte {
	deltas := (before ^ after) >> 4 & (msrDeltaCTS | msrDeltaDSR | msrDeltaDCD)
	if before&^after&msrRI != 0 {
		deltas |= msrTrailRI
	}
	return deltas
}

const stateVersion = 1

// SaveState returns the port's state.
func (u *UART) SaveState() ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return virtio.EncodeState(stateVersion, u.reg)
}

// LoadState takes a state over, or leaves the port as it was. A pending interrupt is signalled again: the signal of the saved VM
// may have been lost, and one too many does no harm.
func (u *UART) LoadState(saved []byte) error {
	var r state
	if err := virtio.DecodeState(saved, stateVersion, &r); err != nil {
		return err
	}
	if len(r.Input) > fifoSize || r.IER&^byte(ierBits) != 0 || r.MCR&^byte(mcrBits) != 0 {
		return fmt.Errorf("%w: a serial port cannot be in it", virtio.ErrState)
	}
	r.Input = append(make([]byte, 0, fifoSize), r.Input...)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reg = r
	u.signal(false)
	return nil
}
