package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// EventFD is a Linux eventfd: a counter that one side adds to and the other waits for. It is what an
// ioeventfd or irqfd of KVM and the kick and call descriptors of vhost-user are.
type EventFD struct {
	file *os.File
	raw  syscall.RawConn
}

// NewEventFD makes an eventfd whose counter is 0.
func NewEventFD() (*EventFD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return OpenEventFD(fd)
}

// OpenEventFD takes over fd, also when it fails. A descriptor that cannot be polled is refused, since
// Close could not wake a waiter from it.
func OpenEventFD(fd int) (*EventFD, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("event descriptor: %w", err)
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("event descriptor: %w", err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("event descriptor: %w", err)
	}
	return &EventFD{file: f, raw: raw}, nil
}

// File returns the descriptor, which EventFD keeps owning. Reach its number through SyscallConn: os.File.Fd may
// make it blocking.
func (e *EventFD) File() *os.File { return e.file }

// Signal adds one. It does not block: a counter that is full has been signalled anyway.
func (e *EventFD) Signal() error { return e.raw.Control(addOne) }

var one = binary.NativeEndian.AppendUint64(nil, 1)

func addOne(fd uintptr) { _, _ = unix.Write(int(fd), one) }

// Wait blocks until the counter is not 0 and makes it 0. Close ends it with os.ErrClosed.
func (e *EventFD) Wait() error {
	var counter [8]byte
	n, err := e.file.Read(counter[:])
	if err == nil && n != len(counter) {
		return errors.New("event descriptor is not an eventfd")
	}
	return err
}

// Close closes the descriptor and ends Wait.
func (e *EventFD) Close() error { return e.file.Close() }

// EventKick is a Kick fed by an eventfd. It implements Waiter.
//
// The counter is not read: the runtime's poller is edge-triggered, and every signal is an edge. A kick costs the poller's wake-up,
// and with C two goroutines on the thread that it woke, without any other system call.
type EventKick struct {
	event *EventFD

	deliver sync.Once
	c       chan struct{}
	done    sync.WaitGroup

	// Of the goroutine in Wait.
	poll  func(uintptr) bool // look, made once
	ready func() bool
	slept bool
}

var _ Waiter = (*EventKick)(nil)

// NewEventKick takes over event until Close.
func NewEventKick(event *EventFD) *EventKick {
	k := &EventKick{event: event, c: make(chan struct{}, 1)}
	k.poll = k.look
	return k
}

// C implements Kick. From the first call on a goroutine delivers what is signalled.
func (k *EventKick) C() <-chan struct{} {
	k.deliver.Do(func() {
		k.done.Go(func() { _ = k.event.raw.Read(k.send) })
	})
	return k.c
}

// send is called once at the beginning, since signals may have come before, and once for each edge. It never reports that it is
// done.
func (k *EventKick) send(uintptr) bool {
	select {
	case k.c <- struct{}{}:
	default:
	}
	return false
}

// Wait implements Waiter.
func (k *EventKick) Wait(ready func() bool) bool {
	k.ready, k.slept = ready, false
	return k.event.raw.Read(k.poll) == nil
}

// look is called before the poller waits, when it has forgotten the edges of before, and after it has. What came in between is an
// edge to come.
func (k *EventKick) look(uintptr) (done bool) {
	done = k.slept || k.ready()
	k.slept = true
	return done
}

// Wake implements Waiter.
func (k *EventKick) Wake() { _ = k.event.Signal() }

// Close closes the eventfd and waits until nothing is delivered any more. Whoever else has the eventfd finds its counter at 0.
func (k *EventKick) Close() error {
	_ = k.event.raw.Control(drain)
	err := k.event.Close()
	k.done.Wait()
	return err
}

func drain(fd uintptr) {
	var counter [8]byte
	_, _ = unix.Read(int(fd), counter[:])
}
