package network_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testnet"
	"github.com/voidbox-run/voidbox/test/network/internal/escape"
)

// Further names and addresses of the internet, of which the policy allows the first four.
const (
	webAddress6               = "2001:db8:10::10"
	earlyName, earlyAddress   = "early.example", "203.0.113.11"  // is not looked up
	portedName, portedAddress = "ported.example", "203.0.113.12" // at port 80 only
	shortName, shortAddress   = "short.example", "203.0.113.15"  // for a second at a time
	echoServer                = "203.0.113.7:7"                  // datagrams
	trapName, trapAddress     = "trap.example", "203.0.113.99"   // the name is allowed, the address denied
	otherName                 = "other.example"                  // at the address of web.example
	evilName, evilAddress     = "evil.example", "203.0.113.66"   // nobody may go there
	evilAddress6              = "2001:db8:66::66"
	movedAddress              = "203.0.113.13" // where names are before they lead elsewhere
)

const escapePolicy = `
    layout {
      ipv6 = "true"
    }
    egress {
      allow = [
        "` + webName + `", "` + earlyName + `", "` + portedName + `:80", "` + shortName + `", "` + echoServer + `/udp",
        "` + trapName + `", "*.wild.example", "*.rebind.example", "alias.example", "inward.example",
      ]
      deny = ["` + trapAddress + `", "secret.wild.example"]
    }
    service "models" {
      address = "10.0.2.2:11434"
      tcp     = "127.0.0.1:8000"
    }
    publish {
      guest_port = 80
      host_port  = 8080
    }
    publish {
      guest_port = 7
      host_port  = 7007
      protocol   = "udp"
    }`

// way is one around the policy.
type way struct {
	what string
	rule string // that denies it
	try  func(e *escapee) attempt
}

// attempt is what is to be seen of a way.
type attempt struct {
	told   string // destination, or name, of the denial
	at     string // the server that it leads to, if that may be reached at all
	served []byte // of what it said, what the server may have got
	since  int    // events that there were when it began, if that was long ago
}

// A guest whose root does what it can reaches nothing but what its policy allows. Each way around it is refused, told with the rule that
// refused it, and leads no packet out of the machine; what is allowed works before it, beside it and after it. Nothing of this is the monitor's business, so one will do.
func TestWaysAroundAPolicy(t *testing.T) {
	onQEMU(t, "", func(h *host) {
		e := newEscapee(h)
		e.allowedWorks("before")
		slow := e.beginSlowWays()
		ways := slices.Concat(waysByNames, waysByRequests, waysByHellos, waysByAddresses(), waysByPackets)
		for _, w := range ways {
			e.tried(w)
		}
		for _, w := range slow {
			e.tried(w)
		}
		e.meaningless()
		e.pastTheNetwork()
		e.allowedWorks("after")
		if strays := e.wire.strays(h.T); len(strays) > 0 {
			h.Errorf("there left the machine: %s", strings.Join(strays, "; "))
		}
		h.Logf("%d ways", len(ways)+len(slow))
	})
}

func newEscapee(h *host) *escapee {
	h.ConnectIPv6()
	e := &escapee{guest: &guest{host: h}, t: h.T, received: map[string][]byte{}}
	e.sites()
	e.AddName(earlyName, earlyAddress)
	e.AddName(portedName, portedAddress)
	e.AddName(trapName, trapAddress)
	e.AddName(otherName, webAddress)
	e.AddName(evilName, evilAddress, evilAddress6)
	e.AddName("a.wild.example", movedAddress)
	e.AddName("secret.wild.example", movedAddress)
	e.AddAlias("alias.example", "secret.wild.example")
	e.AddName("inner.example", "10.1.1.1")
	e.AddAlias("inward.example", "inner.example")
	e.SetName(shortName, 1, shortAddress)
	for _, at := range []string{evilAddress, "[" + evilAddress6 + "]", trapAddress, earlyAddress, portedAddress, movedAddress, shortAddress} {
		for _, port := range []int{22, 53, 80, 443, 853, 8080} {
			e.record(fmt.Sprintf("%s:%d", at, port))
		}
	}
	for _, port := range []int{53, 443, 853, 5000} {
		e.recordPackets(fmt.Sprintf("%s:%d", evilAddress, port))
		e.recordPackets(fmt.Sprintf("%s:%d", webAddress, port))
	}
	datagrams := e.ListenPacket(echoServer)
	go echo(datagrams)
	e.models()

	e.wire = tap(h.T)
	e.wire.allow(testnet.Resolver.String()+":53", webAddress+":80", webAddress+":443", echoServer, "127.0.0.1:8000")
	e.guest = h.boot(escapePolicy)
	e.install()
	e.program = e.start()
	return e
}

// models is the host's server that is a service of the guest's.
func (e *escapee) models() {
	l, err := net.Listen("tcp", "127.0.0.1:8000")
	e.must(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a model") })}
	go func() { _ = s.Serve(l) }()
	e.Cleanup(func() { _ = s.Close() })
}

// beginSlowWays begins what only time decides, and returns how it ends.
func (e *escapee) beginSlowWays() []way {
	e.lookUp(shortName, shortAddress)
	e.wire.allow(shortAddress + ":80")
	hello := []byte("GET / HTTP/1.0\r\nHost: " + shortName + "\r\n\r\n")
	if a := e.ask(e.T, escape.Request{Do: escape.Stream, To: shortAddress + ":80", Send: [][]byte{hello, {}}}); len(a.Got) == 0 {
		e.Errorf("a name that was just looked up: %s", a.Error)
	}
	silent := e.newServer()
	patient, since := e.start(), e.heardSoFar()
	answer := make(chan escape.Answer, 1)
	go func() { answer <- patient.ask(e.T, escape.Request{Do: escape.Stream, To: silent}) }()
	return []way{
		{"waiting for the server to speak first", "builtin:name", func(e *escapee) attempt {
			if a := <-answer; a.Error == "" || len(a.Got) > 0 {
				e.t.Errorf("it ended with %q, %s", a.Got, a.Error)
			}
			return attempt{told: silent, since: since}
		}},
		{"an address whose name has had its time", "builtin:default", func(e *escapee) attempt {
			for range 10_000 {
				if a := e.ask(e.t, escape.Request{Do: escape.Stream, To: shortAddress + ":80", Send: [][]byte{hello}}); len(a.Got) == 0 {
					break
				}
			}
			e.taken()
			return attempt{told: shortAddress + ":80"}
		}},
	}
}

// newServer makes a server at an address that the policy allows by its name, and returns it. Each way has its own, since of denials
// that repeat themselves only some are told.
func (e *escapee) newServer() string {
	e.t.Helper()
	e.ports++
	at := fmt.Sprintf("%s:%d", webAddress, 10000+e.ports)
	e.record(at)
	return at
}

// refused has the guest connect and say something, and wants it refused.
func (e *escapee) refused(to string, pieces ...string) attempt {
	e.t.Helper()
	a := e.ask(e.t, escape.Request{Do: escape.Stream, To: to, Send: asBytes(pieces)})
	if a.Error == "" || len(a.Got) > 0 && len(pieces) < 2 {
		e.t.Errorf("%s answers %q, %s", to, a.Got, a.Error)
	}
	return attempt{told: to}
}

// refusedLate has the guest say something that is refused at its last piece, to the server of a name that is allowed.
func (e *escapee) refusedLate(pieces ...string) attempt {
	e.t.Helper()
	to := e.newServer()
	if len(pieces) > 1 {
		e.wire.allow(to)
	}
	e.refused(to, pieces...)
	return attempt{told: to, at: to, served: []byte(strings.Join(pieces[:len(pieces)-1], ""))}
}

// sent has the guest send a datagram for which there will be no answer.
func (e *escapee) sent(to string) attempt {
	e.t.Helper()
	return e.sentFrom("", to)
}

func (e *escapee) sentFrom(from, to string) attempt {
	e.t.Helper()
	if a := e.ask(e.t, escape.Request{Do: escape.Datagram, From: from, To: to, Send: asBytes([]string{"data"})}); a.Error != "" {
		e.t.Errorf("send to %s: %s", to, a.Error)
	}
	return attempt{told: to}
}

// unresolved has the guest ask for a name that must not be known, and nobody else be asked for.
func (e *escapee) unresolved(r escape.Request) attempt {
	e.t.Helper()
	r.Do = escape.Resolve
	name := r.To
	r.To += "."
	if a := e.ask(e.t, r); a.Error == "" {
		e.t.Errorf("%s is at %s", name, a.Got)
	}
	if n := e.Asked(name); n > 0 {
		e.t.Errorf("the host's resolver was asked %d times for %s", n, name)
	}
	return attempt{told: name}
}

// lookUp has the guest look a name up.
func (e *escapee) lookUp(name, want string) {
	e.t.Helper()
	if a := e.ask(e.t, escape.Request{Do: escape.Resolve, To: name + "."}); string(a.Got) != want {
		e.t.Errorf("%s is at %q, %s; want %s", name, a.Got, a.Error, want)
	}
}

func asBytes(pieces []string) [][]byte {
	var out [][]byte
	for _, p := range pieces {
		out = append(out, []byte(p))
	}
	return out
}
