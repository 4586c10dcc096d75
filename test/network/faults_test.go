package network_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// kill kills a plugin and waits for its end.
func (h *host) kill(p *pluginhost.Instance) {
	h.Helper()
	h.must(unix.Kill(p.PID(), unix.SIGKILL))
	<-p.Exited()
}

// A network plugin that dies while the guest downloads: the download stops, the guest sees its cable pulled out and put in again,
// and what it asks for then it gets, by the same policy.
func TestNetworkPluginDiesWhileTheGuestDownloads(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.web()
		endless, began := h.endlessDownload()
		g := h.boot(`egress {
      allow = ["` + webName + `:80", "` + endless + `:80"]
    }`)
		const count = "cd /sys/class/net/eth0; echo $(cat carrier_down_count) $(cat carrier_up_count)"
		var before, after struct{ down, up int }
		_, err := fmt.Sscan(g.sh(count), &before.down, &before.up)
		h.must(err)
		broken := g.inBackground("wget -q -O /dev/null http://" + endless + "/")
		<-began
		g.kill(g.spy.last(base.KindNetwork))
		g.awaitWarning("plugin network-slirp died (signal: killed); another one takes its place")
		g.sh("until wget -q -O - http://" + webName + "/page; do sleep 0.1; done")
		g.fails("nslookup evil.example")
		// Who only waits for data learns nothing, as when a cable is pulled out.
		g.sh("killall wget")
		if out := <-broken; out.code == 0 {
			g.Errorf("the download went on: %s", out.text)
		}
		_, err = fmt.Sscan(g.sh(count), &after.down, &after.up)
		h.must(err)
		if after.down != before.down+1 || after.up != before.up+1 {
			g.Errorf("the carrier went down and up %v times, and %v before", after, before)
		}
		select {
		case <-g.Died():
			g.Errorf("the guest is gone: %v", g.Cause())
		default:
		}
	})
}

// endlessDownload is a server whose only page never ends. It tells when somebody reads.
func (h *host) endlessDownload() (name string, began <-chan struct{}) {
	h.Helper()
	came := make(chan struct{}, 1)
	h.serve("endless.example", "203.0.113.40", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b := make([]byte, 64<<10)
		for sent := 0; ; sent += len(b) {
			if _, err := w.Write(b); err != nil {
				return
			}
			if sent > 4<<20 {
				select {
				case came <- struct{}{}:
				default:
				}
			}
		}
	}))
	return "endless.example", came
}

func (h *host) awaitWarning(text string) {
	h.Helper()
	h.await("warning: "+text, func(d event.Data) bool {
		w, ok := d.(event.Warning)
		return ok && strings.Contains(w.Message, text)
	})
}

// A monitor that dies takes its guest along; nothing of either is left, of the network neither.
func TestMonitorDiesWithItsNetwork(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.web()
		endless, began := h.endlessDownload()
		g := h.boot("")
		broken := g.inBackground("wget -q -O /dev/null http://" + endless + "/")
		<-began
		slirp, monitor := g.spy.last(base.KindNetwork), g.spy.last(base.KindVMM)
		g.kill(monitor)
		<-g.Died()
		var dead *run.PluginError
		if err := g.Cause(); !errors.As(err, &dead) || dead.Plugin != "vmm-"+h.backend {
			g.Errorf("the cause is %v", err)
		}
		<-broken
		_ = g.end()
		for _, p := range []*pluginhost.Instance{slirp, monitor} {
			if err := unix.Kill(p.PID(), 0); !errors.Is(err, unix.ESRCH) {
				g.Errorf("%s is still there: %v", p.Description.Name, err)
			}
			if _, err := os.Stat(p.RuntimeDir()); !errors.Is(err, os.ErrNotExist) {
				g.Errorf("the directory of %s is still there: %v", p.Description.Name, err)
			}
		}
	})
}
