package vsock

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
)

// Queue indices (section 5.10.2). vhost-user lends only the first two.
const (
	queueRX    = 0
	queueTX    = 1
	queueEvent = 2
)

// Device is the device model; it implements virtio.Device. Its connections belong to it, not to an activation:
// they wait while it is stopped.
type Device struct {
	cfg      Config
	log      *slog.Logger
	listener *net.UnixListener

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // accept loop, handshakes, connections

	life   sync.Mutex     // held by Activate and Stop, since Close may come while a transport still runs
	queues sync.WaitGroup // transmit and receive
	stop   chan struct{}  // closed by Stop; nil while stopped

	work chan struct{} // tells receive that something is ready

	mu       sync.Mutex // guards everything below, and every conn's fields
	conns    map[key]*conn
	live     map[*conn]struct{} // conns, and those that only drain
	resets   resetQueue
	ready    readyList
	reserved int    // the sum of all live windows
	nextPort uint32 // the next host port to try
	closed   bool
	saidFull bool // that a connection was refused has been logged aloud
	moved    bool // the guest has yet to be told that its connections are gone
}

var _ virtio.Stateful = (*Device)(nil)

// New creates the device and its host socket. Close it when it is no longer used.
func New(cfg Config) (*Device, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	l, err := listen(cfg.Path)
	if err != nil {
		return nil, err
	}
	d := newDevice(cfg)
	d.listener = l
	d.tasks.Go(d.accept)
	return d, nil
}

// newDevice returns a device that does not listen yet.
func newDevice(cfg Config) *Device {
	ctx, cancel := context.WithCancel(context.Background())
	return &Device{
		cfg: cfg, log: cfg.Logger,
		ctx: ctx, cancel: cancel,
		work:     make(chan struct{}, 1),
		conns:    make(map[key]*conn),
		live:     make(map[*conn]struct{}),
		resets:   resetQueue{limit: 2 * cfg.MaxConnections},
		nextPort: firstHostPort,
	}
}

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDVsock }

// Features implements virtio.Device. Streams are the default of a device without feature bits.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device: rx, tx and event.
func (d *Device) QueueSizes() []uint16 { return []uint16{1024, 1024, 64} }

// ReadConfig implements virtio.Device; the space is the guest's CID, 64 bits (section 5.10.4).
func (d *Device) ReadConfig(offset uint32, p []byte) {
	space := binary.LittleEndian.AppendUint64(nil, d.cfg.GuestCID)
	clear(p)
	if int64(offset) < int64(len(space)) {
		copy(p, space[offset:])
	}
}

// WriteConfig implements virtio.Device; nothing in the space can be written.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.stop != nil {
		return errors.New("vsock: activated while it runs")
	}
	if d.ctx.Err() != nil {
		return errors.New("vsock: activated after Close")
	}
	stop := make(chan struct{})
	d.stop = stop
	run := func(index int, serve func(*virtio.Queue, <-chan struct{}) error) {
		if index >= len(a.Queues) || a.Queues[index] == nil {
			return
		}
		d.queues.Go(func() {
			var err error
			if fault := virtio.Protect(func() { err = serve(a.Queues[index], stop) }); fault != nil {
				err = fault
			}
			if err != nil && a.Broken != nil {
				a.Broken(index, err)
			}
		})
	}
	receive := d.receive
	if m := d.untoldMove(a); m != nil {
		receive = m.receive
		run(queueEvent, m.tell)
	}
	run(queueRX, receive)
	run(queueTX, d.transmit)
	return nil
}

// Stop implements virtio.Device.
func (d *Device) Stop() {
	d.life.Lock()
	defer d.life.Unlock()
	if d.stop == nil {
		return
	}
	close(d.stop)
	d.queues.Wait()
	d.stop = nil
}

// Reset implements virtio.Device. Host programs still receive what the guest had sent.
func (d *Device) Reset() {
	d.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.detach()
	}
	d.resets.clear()
	d.ready = readyList{}
	d.moved = false
}

// Close resets the device, removes the host socket, gives host programs the time of Config.Linger to read what is
// left for them, ends all connections and waits for everything that the device runs.
func (d *Device) Close() error {
	err := d.listener.Close()
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.Reset()

	drained := make(chan struct{})
	go func() {
		d.tasks.Wait()
		close(drained)
	}()
	linger := time.NewTimer(d.cfg.Linger)
	defer linger.Stop()
	select {
	case <-drained:
	case <-linger.C:
		d.abandon()
		<-drained
	}
	return err
}

// abandon closes the sockets of connections that still drain.
func (d *Device) abandon() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.live {
		if n := len(c.pending); n > 0 {
			d.log.Warn("vsock data discarded: nobody read it", "guest_port", c.guest, "host_port", c.host, "bytes", n)
		}
		if c.unix != nil {
			_ = c.unix.Close()
		}
	}
}

// wake tells receive to look at what is ready.
func (d *Device) wake() {
	select {
	case d.work <- struct{}{}:
	default:
	}
}
