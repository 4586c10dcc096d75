package network_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/test/lab"
)

func TestGuestHasAddressGatewayAndResolver(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.web()
		g := h.boot("")
		g.says("ip address show eth0", "link/ether 52:54:00:12:34:56", "inet 10.0.2.15/24", "mtu 1500")
		g.says("ip route", "default via 10.0.2.2")
		g.says("cat /etc/resolv.conf", "nameserver 10.0.2.3")
		g.says("ping -c 3 10.0.2.2", "3 packets received")
		g.says("ping -c 1 "+webAddress, "1 packets received")
		g.says("cat /proc/net/arp", "52:54:00:12:34:01")
		if got := g.sh("cat /sys/class/net/eth0/carrier"); got != "1\n" {
			g.Errorf("carrier = %q", got)
		}
	})
}

func TestNamesAndPages(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.web()
		g := h.boot("")
		g.says("nslookup "+webName, webAddress)
		g.says("nslookup nowhere.example; true", "NXDOMAIN")
		g.says("wget -q -O - http://"+webName+"/page", "a page of "+webName)
		g.says("wget -q -O - http://"+webAddress+"/page", "a page of "+webAddress)
		if out := g.fails("wget -O - http://" + webAddress + ":81/page"); !strings.Contains(out, "refused") {
			g.Errorf("a port where nobody listens: %s", out)
		}
	})
}

// A large file comes whole, and goes back whole.
func TestLargeFilesBothWays(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.web()
		g := h.boot("")
		want := g.blobSum()
		got := g.sh("wget -q -O /tmp/blob http://" + webName + "/blob && sha256sum < /tmp/blob")
		if !strings.HasPrefix(got, want) {
			g.Errorf("sum of what the guest got: %s, want %s", got, want)
		}
		// busybox's wget sends text only.
		got = g.sh(fmt.Sprintf(`{ printf 'PUT /sum HTTP/1.0\r\nContent-Length: %d\r\n\r\n'; cat /tmp/blob; } | nc %s 80`, blobSize(), webName))
		if !strings.HasSuffix(strings.TrimSpace(got), "\n"+want) {
			g.Errorf("the server got another file than %s: %s", want, got)
		}
	})
}

func TestCurlGitAndApt(t *testing.T) {
	onDebians(t, func(h *host) {
		h.web()
		h.debianMirror()
		root := h.gitServer()
		commit := h.head(root)
		g := h.boot("")

		g.says("curl -sS http://"+webName+"/page", "a page of "+webName)
		want := g.blobSum()
		got := g.sh("curl -sS http://" + webName + "/blob | tee /dev/shm/blob | sha256sum")
		if !strings.HasPrefix(got, want) {
			g.Errorf("curl got %s, want %s", got, want)
		}
		if got := g.sh("curl -sS -T /dev/shm/blob http://" + webName + "/sum; rm /dev/shm/blob"); strings.TrimSpace(got) != want {
			g.Errorf("curl sent %s, want %s", got, want)
		}

		g.sh("cd /tmp && git clone -q http://" + gitName + "/repo.git && git -C repo fsck --strict")
		if got := strings.TrimSpace(g.sh("git -C /tmp/repo rev-parse HEAD")); got != commit {
			g.Errorf("cloned %s, want %s", got, commit)
		}
		if !lab.Inside() {
			g.pushes(root)
		}

		g.sh("echo 'deb [trusted=yes] http://" + debName + "/ ./' > /etc/apt/sources.list && apt-get -q update")
		got = g.sh("cd /dev/shm && apt-get -q -o APT::Sandbox::User=root download big && sha256sum *.deb")
		if !strings.Contains(got, want) {
			g.Errorf("apt got %s, want %s", got, want)
		}
	})
}

// pushes has the guest send back a commit of its own.
func (g *guest) pushes(root string) {
	g.Helper()
	g.sh(`cd /tmp/repo && head -c 20000000 /dev/urandom > random && git add random &&
		git -c user.name=g -c user.email=g@example commit -q -m back && git -c http.postBuffer=50000000 push -q origin HEAD`) // Go's CGI takes no chunks
	if here, there := g.head(root), strings.TrimSpace(g.sh("git -C /tmp/repo rev-parse HEAD")); here != there {
		g.Errorf("the guest pushed %s, and the server has %s", there, here)
	}
	g.must(git("-C", filepath.Join(root, "repo.git"), "fsck", "--strict"))
}

// A service is the host's, and all of its loopback that the guest sees.
func TestServices(t *testing.T) {
	onMonitors(t, func(h *host) {
		l, err := net.Listen("tcp", "127.0.0.1:8000")
		h.must(err)
		unix, err := net.Listen("unix", filepath.Join(h.TempDir(), "s"))
		h.must(err)
		for _, l := range []net.Listener{l, unix} {
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "served by %s\n", l.Addr().Network()) })}
			go func() { _ = s.Serve(l) }()
			h.Cleanup(func() { _ = s.Close() })
		}
		g := h.boot(fmt.Sprintf(`
    egress {}
    service "models" {
      address = "10.0.2.2:11434"
      tcp     = "127.0.0.1:8000"
    }
    service "keys" {
      address = "10.0.2.9:80"
      unix    = %q
    }`, unix.Addr().String()))
		g.says("wget -q -O - http://10.0.2.2:11434/", "served by tcp")
		g.says("wget -q -O - http://models:11434/", "served by tcp")
		g.says("wget -q -O - http://10.0.2.9/", "served by unix")
		g.fails("wget -q -O - http://10.0.2.2:8000/")
		g.fails("wget -q -O - http://" + hostAddress + ":8000/")
	})
}

// Ports of the guest are the host's, on its loopback.
func TestPublishedPorts(t *testing.T) {
	onDebian(t, func(h *host) {
		g := h.boot(`
    publish {
      guest_port = 80
      host_port  = 8080
    }
    publish {
      guest_port = 7
      host_port  = 7007
      protocol   = "udp"
    }`)
		g.inBackground("echo from the guest > /tmp/index.html; exec python3 -m http.server -d /tmp 80")
		g.inBackground(`exec python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data.upper(), peer)'`)
		g.sh("until grep -q ' 00000000:0050 ' /proc/net/tcp && grep -q ' 00000000:0007 ' /proc/net/udp; do sleep 0.1; done")

		resp, err := http.Get("http://127.0.0.1:8080/")
		h.must(err)
		body, err := io.ReadAll(resp.Body)
		h.must(err)
		if string(body) != "from the guest\n" {
			t.Errorf("the page is %q", body)
		}
		c, err := net.Dial("udp", "127.0.0.1:7007")
		h.must(err)
		defer c.Close()
		_, err = c.Write([]byte("shout"))
		h.must(err)
		answer := make([]byte, 16)
		n, err := c.Read(answer)
		if err != nil || string(answer[:n]) != "SHOUT" {
			t.Errorf("answer %q, %v", answer[:n], err)
		}
		if _, err := net.Dial("tcp", net.JoinHostPort(hostAddress, "8080")); err == nil {
			t.Error("the port is published at every address")
		}
	})
}
