//go:build linux

package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/net-tap/internal/device"
)

// attachment is one guest's wire.
type attachment struct {
	dev    *device.Device
	count  counters
	ctx    context.Context // of all that it does
	cancel context.CancelFunc
	ends   sync.WaitGroup
	once   sync.Once
}

// start takes over the device and the listener.
func start(dev *device.Device, l *link.Listener) *attachment {
	a := &attachment{dev: dev}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.ends.Go(func() {
		defer l.Close()
		a.serve(l)
	})
	return a
}

// close ends everything and waits for it.
func (a *attachment) close() {
	a.once.Do(func() {
		a.cancel()
		a.ends.Wait()
		_ = a.dev.Close()
	})
}

// setCarrier tells the host whether a guest is there, from the first one on: after a change the kernel drops frames for a moment, which
// the first guest is spared. Old kernels cannot do it.
func (a *attachment) setCarrier(up bool) {
	if err := a.dev.Queues[0].SetCarrier(up); err != nil {
		slog.Debug("the device's carrier stays as it is", "error", err)
	}
}

// acceptPause keeps a device that asks wrongly again and again from taking a processor.
const acceptPause = 50 * time.Millisecond

// serve gives the link to monitors that ask for it, one after another, until the attachment ends or its device is gone.
func (a *attachment) serve(l *link.Listener) {
	for {
		up, err := l.Accept(a.ctx)
		switch {
		case a.ctx.Err() != nil:
			if up != nil {
				up.Close()
			}
			return
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			slog.Warn("a monitor did not get its link", "error", err)
			select {
			case <-a.ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		err = newSession(a, up).run(a.ctx)
		up.Close()
		switch {
		case errors.Is(err, tap.ErrGone):
			slog.Error("the guest's network is gone", "device", a.dev.Name, "error", err)
			return
		case a.ctx.Err() == nil && !errors.Is(err, link.ErrPeerGone):
			slog.Warn("link is down", "error", err)
		}
	}
}
