package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// Queues of the socket device (Virtio 1.2 section 5.10.2). The kernel serves the first two, and nobody the third: it has events of
// migration only.
const (
	served = 2
	queues = 3
)

// DevicePath is where the kernel offers its socket device.
const DevicePath = "/dev/vhost-vsock"

// Device is a socket device that the kernel serves; it implements virtio.Device.
type Device struct {
	fd       int
	cid      uint64
	features uint64 // that the kernel knows
	kicks    []*virtio.EventFD
	calls    [served]*virtio.EventKick
	callFDs  [served]int
	bridge   *bridge
	workers  virtio.Workers

	mu      sync.Mutex
	running []*virtio.Queue // lent to the kernel; nil while the device is stopped
}

// New makes a device under a CID that is free, and the unix sockets of the host's side: path, which must not exist, for clients, and
// for the guest's connections those at path_<port> that are there now.
func New(path string) (*Device, error) {
	fd, err := unix.Open(DevicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", DevicePath, err)
	}
	d := &Device{fd: fd}
	if err := d.prepare(path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) prepare(path string) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), setOwner, 0); errno != 0 {
		return fmt.Errorf("VHOST_SET_OWNER: %w", errno)
	}
	if err := ioctl(d.fd, getFeatures, "VHOST_GET_FEATURES", &d.features); err != nil {
		return err
	}
	if err := d.takeCID(); err != nil {
		return err
	}
	for i := range d.calls {
		if err := d.makeCall(i); err != nil {
			return err
		}
	}
	var err error
	d.bridge, err = listen(path, uint32(d.cid))
	return err
}

// attempts bounds the search for a free CID: there are two billion to choose from.
const attempts = 16

// takeCID claims a CID that no other VM of this host has.
func (d *Device) takeCID() error {
	var err error
	for range attempts {
		d.cid = uint64(1<<16 + rand.Uint32N(1<<31-1<<16))
		err = ioctl(d.fd, setGuestCID, "VHOST_VSOCK_SET_GUEST_CID", &d.cid)
		if !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
	}
	return err
}

func (d *Device) makeCall(i int) error {
	event, err := virtio.NewEventFD()
	if err != nil {
		return err
	}
	if d.callFDs[i], err = number(event); err != nil {
		return errors.Join(err, event.Close())
	}
	d.calls[i] = virtio.NewEventKick(event)
	return nil
}

// number returns the number of an event's descriptor, good until the event is closed.
func number(e *virtio.EventFD) (n int, err error) {
	raw, err := e.File().SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(fd uintptr) { n = int(fd) })
	return n, err
}

// Kicks hands over the transport's eventfds, which the kernel will poll. To be called before the guest runs.
func (d *Device) Kicks(events []*virtio.EventFD) { d.kicks = events }

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDVsock }

// Features implements virtio.Device: streams need none.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{256, 256, 64} }

// ReadConfig implements virtio.Device (section 5.10.4): the guest's CID.
func (d *Device) ReadConfig(offset uint32, p []byte) {
	clear(p)
	config := binary.LittleEndian.AppendUint64(nil, d.cid)
	if offset < uint32(len(config)) {
		copy(p, config[offset:])
	}
}

// WriteConfig implements virtio.Device; nothing can be written.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device: it lends the queues to the kernel.
func (d *Device) Activate(a virtio.Activation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running != nil {
		return errors.New("vhost: activated while it runs")
	}
	if len(a.Queues) != queues || a.Queues[0] == nil || a.Queues[1] == nil || len(d.kicks) != queues {
		return errors.New("vhost: a socket device needs both of its queues")
	}
	if err := d.start(a); err != nil {
		return fmt.Errorf("vhost: %w", err)
	}
	d.running = a.Queues[:served]
	var calls []virtio.Worker
	for i := range d.calls {
		calls = append(calls, d.calling(i))
	}
	return d.workers.Start(a, calls...)
}

func (d *Device) start(a virtio.Activation) error {
	memory, err := table(a.Memory)
	if err != nil {
		return err
	}
	features := a.Features & d.features
	if err := errors.Join(
		ioctl(d.fd, setFeatures, "VHOST_SET_FEATURES", &features),
		ioctl(d.fd, setMemTable, "VHOST_SET_MEM_TABLE", memory),
	); err != nil {
		return err
	}
	for i := range served {
		if err := d.lend(i, a.Queues[i]); err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
	}
	return d.setRunning(1)
}

// lend gives queue i to the kernel. The order is the kernel's: it looks at the rings when it gets the addresses.
func (d *Device) lend(i int, q *virtio.Queue) error {
	kick, err := number(d.kicks[i])
	if err != nil {
		return err
	}
	index := uint32(i)
	return errors.Join(
		ioctl(d.fd, setVringNum, "VHOST_SET_VRING_NUM", &vringState{index, uint32(q.Size())}),
		ioctl(d.fd, setVringBase, "VHOST_SET_VRING_BASE", &vringState{index, uint32(q.Base())}),
		ioctl(d.fd, setVringAddr, "VHOST_SET_VRING_ADDR", addr(i, q)),
		ioctl(d.fd, setVringCall, "VHOST_SET_VRING_CALL", &vringFile{index, int32(d.callFDs[i])}),
		ioctl(d.fd, setVringKick, "VHOST_SET_VRING_KICK", &vringFile{index, int32(kick)}),
	)
}

func (d *Device) setRunning(on int32) error {
	return ioctl(d.fd, setRunning, "VHOST_VSOCK_SET_RUNNING", &on)
}

// calling passes the kernel's calls on to the guest.
func (d *Device) calling(i int) virtio.Worker {
	return func(q *virtio.Queue, stop <-chan struct{}) error {
		for {
			select {
			case <-stop:
				return nil
			case <-d.calls[i].C():
				if err := q.Call().Signal(); err != nil {
					return err
				}
			}
		}
	}
}

// Stop implements virtio.Device: it takes the queues back.
func (d *Device) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running == nil {
		return
	}
	_ = d.setRunning(0) // waits for the kernel's worker
	d.workers.Stop()
	for i, q := range d.running {
		state := vringState{index: uint32(i)}
		if ioctl(d.fd, getVringBase, "VHOST_GET_VRING_BASE", &state) == nil {
			q.Return(uint16(state.num))
		}
		_ = q.Call().Signal() // for a call that was under way; one too many does no harm
	}
	d.running = nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() { d.Stop() }

// Close stops the device and closes its sockets.
func (d *Device) Close() error {
	d.Stop()
	var errs []error
	if d.bridge != nil {
		errs = append(errs, d.bridge.close())
	}
	errs = append(errs, unix.Close(d.fd))
	for _, c := range d.calls {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
