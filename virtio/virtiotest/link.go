//go:build linux

package virtiotest

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
	"github.com/voidbox-run/voidbox/link"
)

// NewLink returns the two ends of a link: the device's, which asked for it, and that of a plugin with such terms. The plugin's
// end is closed with the test; the device's belongs to the device.
func NewLink(t testing.TB, terms link.Terms, ask link.Ask) (device, plugin *link.Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	offered := make(chan error, 1)
	go func() {
		var err error
		plugin, err = link.Offer(ctx, b, terms)
		offered <- err
	}()
	device, err = link.Connect(ctx, a, ask)
	if oerr := <-offered; err != nil || oerr != nil {
		t.Fatal(err, oerr)
	}
	t.Cleanup(plugin.Close)
	return device, plugin
}
