package main_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

// TestDriversComeAndGo takes every driver of the guest away from its device and gives it back, connections and requests under way.
// Devices are reset and started anew, in the jail.
func TestDriversComeAndGo(t *testing.T) {
	lab.RequireKVM(t)
	// The guest's main process does it, since commands end with the connection that they came on.
	const script = `
		until test -e /tmp/go; do sleep 0.1; done
		for n in 1 2 3; do
			for d in /sys/bus/virtio/drivers/*/virtio*; do
				echo ${d##*/} > ${d%/*}/unbind; echo ${d##*/} > ${d%/*}/bind
			done
		done
		echo drivers are back > /dev/ttyS0
		sleep 1000`
	s, p := boot(t, sandbox.Spec{User: "root", Main: []string{"sh", "-c", script}})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The connection that this travels on is among those that are lost.
	_, _ = s.Exec(ctx, contract.Command{Args: []string{"sh", "-c", "touch /tmp/go; sleep 1000"}}, contract.IO{})
	var console bytes.Buffer
	for !strings.Contains(console.String(), "drivers are back") {
		console.Reset()
		if err := s.Console(ctx, false, &console); err != nil {
			t.Fatalf("%v; the plugin: %v", err, p.Err())
		}
	}
	for _, err := s.Info(ctx); err != nil; _, err = s.Info(ctx) {
		if ctx.Err() != nil || p.Err() != nil {
			t.Fatalf("%v; the plugin: %v", err, p.Err())
		}
	}
}
