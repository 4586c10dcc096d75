package console

import "github.com/voidbox-run/voidbox/virtio"

const (
	// maxOutput bounds what one chain says; what is beyond is dropped. Linux sends 32 KiB at most.
	maxOutput = 1 << 20

	chunk = 4 << 10
	batch = 64 // chains between two publications
)

// transmit serves the guest's output. It is copied out before it is passed on, since the guest may change it.
func (d *Device) transmit(q *virtio.Queue, stop <-chan struct{}) error {
	var buffer [chunk]byte
	return virtio.Serve(q, stop, func(c *virtio.Chain) int {
		left := min(c.Readable.Len(), maxOutput)
		for offset := 0; left > 0; {
			n := c.Readable.CopyTo(buffer[:min(chunk, left)], offset)
			_, _ = d.output.Write(buffer[:n])
			offset += n
			left -= n
		}
		return 0
	})
}

func (d *Device) wake() {
	select {
	case d.arrived <- struct{}{}:
	default:
	}
}

// receive serves the guest's buffers for input. They wait in the ring until there is some.
func (d *Device) receive(q *virtio.Queue, stop <-chan struct{}) error {
	var buffer [chunk]byte
	var c virtio.Chain
	return virtio.Deliver(q, stop, d.arrived, func() (virtio.Want, error) { return d.deliver(q, &c, buffer[:]) })
}

// deliver fills some chains with input.
func (d *Device) deliver(q *virtio.Queue, c *virtio.Chain, buffer []byte) (virtio.Want, error) {
	for range batch {
		n := d.peek(buffer)
		if n == 0 {
			return virtio.WantArrivals, nil
		}
		ok, err := q.Pop(c)
		if !ok {
			return virtio.WantBuffers, err
		}
		n = c.Writable.CopyFrom(buffer[:n], 0)
		d.drop(n)
		q.Push(c, n)
	}
	return virtio.WantNothing, nil
}

// peek copies the oldest input. No lock is held where guest memory is touched, which may fault.
func (d *Device) peek(p []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return copy(p, d.input)
}

func (d *Device) drop(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.input = append(d.input[:0], d.input[n:]...)
}
