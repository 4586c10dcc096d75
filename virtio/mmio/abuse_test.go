//go:build linux

package mmio_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAbuse(t *testing.T) {
	virtiotest.Abuse(t, func(testing.TB) virtio.Device { return &echo{} })
}
