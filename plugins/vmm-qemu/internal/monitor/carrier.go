package monitor

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qmp"
)

// carrier makes the guest see what becomes of a network card's link. The card's configuration, with its status bit, is QEMU's and
// not the device model's, so QEMU has to be told, by set_link. It answers once the device has stopped or started its queues,
// which the link's change may be holding up: whoever reports a change must not wait for the answer, hence a goroutine that
// follows.
type carrier struct {
	nic     string // the card's id on QEMU's command line
	up      atomic.Bool
	changed chan struct{}
}

func newCarrier(nic string) *carrier {
	c := &carrier{nic: nic, changed: make(chan struct{}, 1)}
	c.up.Store(true)
	return c
}

// set does not wait.
func (c *carrier) set(up bool) {
	c.up.Store(up)
	select {
	case c.changed <- struct{}{}:
	default: // what follows has not looked yet
	}
}

// follow tells QEMU of changes until QEMU is gone.
func (c *carrier) follow(client *qmp.Client) {
	for {
		select {
		case <-client.Done():
			return
		case <-c.changed:
		}
		up := c.up.Load()
		ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
		err := client.Do(ctx, "set_link", map[string]any{"name": c.nic, "up": up}, nil)
		cancel()
		if err != nil && !hungUp(err) {
			slog.Warn("set the carrier", "device", c.nic, "up", up, "error", err)
		}
	}
}
