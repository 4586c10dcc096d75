package virtio

import "errors"

// Device identifiers (section 5).
const (
	IDNet     = 1
	IDBlock   = 2
	IDConsole = 3
	IDEntropy = 4
	IDBalloon = 5
	IDVsock   = 19
	IDFS      = 26
)

// Feature bits that belong to rings and transports rather than to one kind of device (section 6).
// Transports offer them; Device.Features must leave them out.
const (
	FeatureIndirect = 1 << 28 // VIRTIO_F_INDIRECT_DESC
	FeatureEventIdx = 1 << 29 // VIRTIO_F_EVENT_IDX
	FeatureVersion1 = 1 << 32 // VIRTIO_F_VERSION_1; without it a driver is refused
)

// ErrRing is wrapped by every error that a driver's ring contents cause.
var ErrRing = errors.New("virtqueue is broken")

// Device is one device model. A transport calls its methods one at a time, except ReadConfig and
// WriteConfig, which may come at any moment.
type Device interface {
	// DeviceID returns the device's identifier of section 5, such as IDVsock.
	DeviceID() uint32
	// Features returns the device's own feature bits.
	Features() uint64
	// QueueSizes returns the greatest size of each queue, a power of two; its length is the number of queues.
	QueueSizes() []uint16
	// ReadConfig fills p from the configuration space at offset; bytes past its end read as zero.
	ReadConfig(offset uint32, p []byte)
	// WriteConfig changes the configuration space; what the device does not let drivers write is ignored.
	WriteConfig(offset uint32, p []byte)
	// Activate starts the device. It must treat every queue as if it had just been kicked, since kicks may
	// have come before. It returns without waiting for the driver.
	Activate(Activation) error
	// Stop ends what Activate started: when it returns, the device's goroutines have let go of the queues and
	// of guest memory, and every chain that they had popped has been pushed or returned (Queue.Unpop), or is kept
	// by the device, which takes it over at the next Activate (Queue.Adopt). What the device knows survives, so
	// that Activate may resume it. Stop of a stopped device does nothing.
	Stop()
	// Reset stops the device and forgets what drivers have told it.
	Reset()
}

// Activation is what a transport lends a device between Activate and Stop.
type Activation struct {
	// Features are those that both sides agreed on.
	Features uint64
	Memory   *Memory
	// Queues has one entry for each of QueueSizes; nil where the driver has set none up.
	Queues []*Queue
	// Broken reports that the driver broke a queue (ErrRing), or that guest memory went away. The device
	// no longer serves that queue. It does not block, and may be nil.
	Broken func(queue int, err error)
	// ConfigChanged tells the driver that the configuration space has changed, such as a carrier or the size of a balloon. It does
	// not block, and may be nil where a transport has no such message.
	ConfigChanged func()
}

// Kick is the driver's notification that a queue has something new.
type Kick interface {
	// C delivers one value for one or more kicks. The channel is never closed.
	C() <-chan struct{}
}

// Waiter is a Kick that one goroutine can wait for without a channel between it and the kernel, whose goroutine is
// one more to be woken.
// A device uses either this or C.
type Waiter interface {
	Kick
	// Wait returns after a kick or Wake, at once where ready says that there is something to do, and now and then for no reason.
	// Kicks that ready may have missed are not lost. It returns false where there will be no kicks any more.
	Wait(ready func() bool) bool
	// Wake ends a Wait. What it is woken for must be visible to ready before.
	Wake()
}

// Call is the notification to the driver, an interrupt in the end. Signal does not block.
type Call interface {
	Signal() error
}
