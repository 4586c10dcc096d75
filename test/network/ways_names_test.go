package network_test

import (
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/internal/testnet"
	"github.com/voidbox-run/voidbox/test/network/internal/escape"
)

const longLabel = "this-is-what-the-guest-knows-and-nobody-else-should-0123456789"

// resolves is a way that asks for a name which is not to be known.
func resolves(r escape.Request) func(*escapee) attempt {
	return func(e *escapee) attempt { return e.unresolved(r) }
}

// datagramTo is a way that sends a datagram.
func datagramTo(to string) func(*escapee) attempt {
	return func(e *escapee) attempt { return e.sent(to) }
}

// connects is a way that connects to an address.
func connects(to string) func(*escapee) attempt {
	return func(e *escapee) attempt { return e.refused(to, get(webName)) }
}

var waysByNames = []way{
	{"a name that no rule allows", "builtin:default", resolves(escape.Request{To: evilName})},
	{"the same over TCP", "builtin:default", resolves(escape.Request{To: "tcp." + evilName, Over: "tcp"})},
	{"a name that a rule denies", "agent.hcl:", resolves(escape.Request{To: "secret.wild.example"})},
	{"a name that ends like an allowed one", "builtin:default", resolves(escape.Request{To: "evil-" + webName})},
	{"a name that begins like an allowed one", "builtin:default", resolves(escape.Request{To: webName + "." + evilName})},
	{"a name that looks like an allowed one", "builtin:default", resolves(escape.Request{To: "xn--wb-ilc.example"})}, // wеb, with a Cyrillic letter
	{"the name above a wildcard", "builtin:default", resolves(escape.Request{To: "wild.example"})},
	{"a tunnel of lookups", "builtin:default", resolves(escape.Request{To: longLabel + "." + longLabel + "." + longLabel + "." + evilName})},
	{"a tunnel of lookups of bytes", "builtin:name", func(e *escapee) attempt {
		e.question("\xff\xfe.example.", dnsmessage.TypeA)
		return attempt{told: `\xff\xfe.example`}
	}},
	{"a tunnel of lookups for text", "builtin:default", func(e *escapee) attempt {
		e.question("text."+evilName+".", dnsmessage.TypeTXT)
		if n := e.Asked("text." + evilName); n > 0 {
			e.t.Errorf("the host's resolver was asked %d times", n)
		}
		return attempt{told: "text." + evilName}
	}},
	{"where is an encrypted resolver", "builtin:default", resolves(escape.Request{To: "doh.example"})},
	{"an allowed name that is another one for a denied name", "agent.hcl:", func(e *escapee) attempt {
		e.lookUp("alias.example", "")
		return attempt{told: "alias.example"}
	}},
	{"an allowed name that is another one for a neighbour", "builtin:private", func(e *escapee) attempt {
		e.lookUp("inward.example", "")
		return attempt{told: "inward.example"}
	}},
	{"a name that moves to a neighbour", "builtin:private", rebinds("neighbour", "192.168.1.1")},
	{"a name that moves to the host", "builtin:host", rebinds("host", hostAddress)},
	{"a name that moves to the host by IPv6", "builtin:host", rebinds("host6", testnet.Host6.Addr().String())},
	{"a name that moves to the loopback", "builtin:host", rebinds("loopback", "127.0.0.1")},
	{"a name that moves to the loopback of IPv6", "builtin:host", rebinds("loopback6", "::1")},
	{"a name that moves to nowhere", "builtin:martian", rebinds("nowhere", "0.0.0.0")},
	{"a name that moves to the metadata server", "builtin:metadata", rebinds("metadata", "169.254.169.254")},
	{"a name that moves to the gateway", "builtin:gateway", rebinds("gateway", "10.0.2.2")},
	{"a name that moves to IPv4 in IPv6", "builtin:host", rebinds("mapped", "::ffff:127.0.0.1")},
	{"a name that moves behind a translator", "builtin:translated", rebinds("nat64", "64:ff9b::7f00:1")},

	{"another resolver", "builtin:resolver", datagramTo(evilAddress + ":53")},
	{"another resolver over TCP", "builtin:resolver", connects(evilAddress + ":53")},
	{"the host's resolver itself", "builtin:resolver", func(e *escapee) attempt {
		at := testnet.Resolver.String() + ":53"
		e.ask(e.t, escape.Request{Do: escape.Resolve, To: evilName + ".", From: at})
		if n := e.Asked(evilName); n > 0 {
			e.t.Errorf("it was asked %d times", n)
		}
		return attempt{told: at}
	}},
	{"a resolver at the gateway", "builtin:gateway", datagramTo("10.0.2.2:53")},
	{"DNS over TLS", "builtin:resolver", connects(evilAddress + ":853")},
	{"DNS over TLS, at an allowed name's address", "builtin:resolver", connects(webAddress + ":853")},
	{"DNS over HTTPS by its address", "builtin:default", func(e *escapee) attempt { return e.refused(evilAddress+":443", e.hello(webName)) }},
	{"DNS over QUIC", "builtin:resolver", datagramTo(evilAddress + ":853")},
	{"QUIC", "builtin:resolver", datagramTo(evilAddress + ":443")},
	{"QUIC, at an allowed name's address", "builtin:resolver", datagramTo(webAddress + ":443")},
}

// question asks the guest's resolver something that no library would, and wants to hear that there is no such name.
func (e *escapee) question(name string, kind dnsmessage.Type) {
	e.t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		e.t.Fatal(err)
	}
	a := e.ask(e.t, escape.Request{Do: escape.Datagram, To: "10.0.2.3:53", Send: [][]byte{b}, Answered: true})
	var p dnsmessage.Parser
	if h, err := p.Start(a.Got); err != nil || h.RCode != dnsmessage.RCodeNameError {
		e.t.Errorf("%q: %+v, %v, %s", name, h, err, a.Error)
	}
}

// rebinds is a way by a name that was somewhere else when it was looked up for the first time.
func rebinds(label, to string) func(*escapee) attempt {
	return func(e *escapee) attempt {
		name := label + ".rebind.example"
		e.SetName(name, 0, movedAddress)
		e.lookUp(name, movedAddress)
		e.SetName(name, 0, to)
		if a := e.ask(e.t, escape.Request{Do: escape.Resolve, To: name + "."}); a.Error == "" {
			e.t.Errorf("%s is at %s", name, a.Got)
		}
		return attempt{told: name}
	}
}

func get(host string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }

// says is a way that says something to a server whose name is allowed. What comes before the last piece is.
func says(pieces ...string) func(*escapee) attempt {
	return func(e *escapee) attempt { return e.refusedLate(pieces...) }
}

const post = "POST / HTTP/1.1\r\nHost: " + webName + "\r\n"

var waysByRequests = []way{
	{"a host of the same address", "builtin:name", says(get(otherName))},
	{"the address as the host", "builtin:name", says(get(webAddress))},
	{"no host", "builtin:name", says("GET / HTTP/1.0\r\n\r\n")},
	{"two hosts", "builtin:name", says("GET / HTTP/1.1\r\nHost: " + webName + "\r\nHost: " + otherName + "\r\n\r\n")},
	{"two hosts in one", "builtin:name", says(get(webName + "," + otherName))},
	{"a host on a folded line", "builtin:name", says("GET / HTTP/1.1\r\nHost:\r\n " + otherName + "\r\nHost: " + webName + "\r\n\r\n")},
	{"a user before the host", "builtin:name", says(get(webName + "@" + otherName))},
	{"another host in the target", "builtin:name", says("GET http://" + otherName + "/ HTTP/1.1\r\nHost: " + webName + "\r\n\r\n")},
	{"a tunnel", "builtin:name", says("CONNECT " + evilName + ":443 HTTP/1.1\r\nHost: " + webName + "\r\n\r\n")},
	{"a tunnel on a kept connection", "builtin:name", says(get(webName), "CONNECT "+evilName+":443 HTTP/1.1\r\nHost: "+webName+"\r\n\r\n")},
	{"a second host on a kept connection", "builtin:name", says(get(webName), get(otherName))},
	{"a second host behind a body", "builtin:name", says(post+"Content-Length: 1\r\n\r\n", "x"+get(otherName))},
	{"a second host behind chunks", "builtin:name", says(post+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"+get(otherName))},
	{"a second host in the same segment", "builtin:name", func(e *escapee) attempt {
		at := e.newServer()
		e.wire.allow(at) // since the first host is allowed; of the second it gets nothing
		return e.refused(at, get(webName)+get(otherName))
	}},
	{"a request that is two for some: length and chunks", "builtin:name", says(post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get(otherName))},
	{"a request that is two for some: two lengths", "builtin:name", says(post + "Content-Length: 0\r\nContent-Length: 99\r\n\r\n" + get(otherName))},
	{"a request that is two for some: strange chunks", "builtin:name", says(post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + get(otherName))},
	{"lines that end early", "builtin:name", says("GET / HTTP/1.1\nHost: " + webName + "\nX: \n\n" + get(otherName))},
	{"an upgrade to another protocol", "builtin:name", says("GET / HTTP/1.1\r\nHost: " + webName + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")},
	{"HTTP/2 without TLS", "builtin:name", says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	{"another protocol", "builtin:name", says("SSH-2.0-escape\r\n")},
	{"a head without an end", "builtin:name", says("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 17<<10))},
	{"a redirect to a name", "builtin:default", func(e *escapee) attempt { return e.redirected("http://sent."+evilName+"/", "sent."+evilName) }},
	{"a redirect to an address", "builtin:default", func(e *escapee) attempt { return e.redirected("http://"+evilAddress+":8080/", evilAddress+":8080") }},
	{"a redirect to a port", "builtin:default", func(e *escapee) attempt {
		e.lookUp(portedName, portedAddress)
		return e.redirected("http://"+portedName+":8080/", portedAddress+":8080")
	}},
}

// redirected follows an allowed server to where it sends its readers.
func (e *escapee) redirected(to, told string) attempt {
	e.t.Helper()
	if a := e.ask(e.t, escape.Request{Do: escape.Fetch, To: "http://" + webName + "/elsewhere?" + to}); a.Error == "" {
		e.t.Errorf("%s: %s", to, a.Got)
	}
	return attempt{told: told}
}
