// Command voidbox-share-virtiofs is the share plugin: a FUSE server that hands directories of the host to one guest, within their
// bounds, and keeps the guest's idea of owners and devices away from the host.
package main

import (
	"context"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/shares"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
)

func main() {
	s := shares.New()
	sdk.Serve(sdk.Plugin{
		Name:        "virtiofs",
		Version:     "0.1.0",
		Description: "Directories of the host, read-only, read-write or below an overlay, over virtio-fs.",
		Namespaces:  []string{"user", "net", "ipc"}, // nothing to gain in any of them
		Configure: func(_ context.Context, c base.Config) error {
			s.Configure(shares.Options{RuntimeDir: c.RuntimeDir})
			return nil
		},
		Drain: s.Drain,
		Share: s,
	})
}
