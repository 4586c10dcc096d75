package network_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// A guest behind a TAP device is a neighbour of the host's, as long as it lives.
func TestGuestOnATAP(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.network = "tap"
		g := h.boot(`device = "vbtest0"`)
		serve(h)
		g.says("ping -c 1 10.0.2.2", "1 packets received")
		g.says("wget -q -O - http://10.0.2.2:8000/", "hello from the host")
		if n, err := net.InterfaceByName("vbtest0"); err != nil || n.MTU != 1500 {
			g.Errorf("device %+v, %v", n, err)
		}
		// The plugin dies, its device with it, and both come back.
		h.must(unix.Kill(g.spy.last(base.KindNetwork).PID(), unix.SIGKILL))
		g.says("for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://10.0.2.2:8000/ && break; sleep 1; done", "hello from the host")
		h.must(g.end())
		if _, err := net.InterfaceByName("vbtest0"); err == nil {
			g.Error("the device has outlived its guest")
		}
	})
}

// serve serves a page at every address of the host's.
func serve(h *host) {
	h.Helper()
	l, err := net.Listen("tcp4", ":8000")
	h.must(err)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello from the host") })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	h.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; err != http.ErrServerClosed {
			h.Error(fmt.Errorf("server: %w", err))
		}
	})
}
