package dns

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/internal/hostname"
)

var errBusy = errors.New("too many questions")

// serviceTTL is short, since a run may be given other services.
const serviceTTL = 60

// Names that no resolver is to be asked for: RFC 6761 (localhost, invalid), 6762 (local), 7686 (onion), 9476 (alt), and the name by
// which browsers ask whether they may resolve by themselves.
var nowhere = []string{"invalid", "*.invalid", "local", "*.local", "onion", "*.onion", "alt", "*.alt"}

const dohCanary = "use-application-dns.net"

// builtin answers what depends neither on rules nor on others.
func (s *Server) builtin(q *query) (reply, bool) {
	nameError := reply{code: dnsmessage.RCodeNameError}
	within := func(domain string) bool { return hostname.Within(q.name, domain) }
	switch {
	case !known[q.question.Type]: // among them transfers, and ANY (RFC 8482)
		return reply{code: dnsmessage.RCodeNotImplemented}, true
	case q.name == "" || slices.ContainsFunc(nowhere, within):
		return nameError, true
	case q.name == "localhost" || within("*.localhost"):
		if q.question.Type == dnsmessage.TypeAAAA {
			return service(q, netip.IPv6Loopback()), true
		}
		return service(q, netip.AddrFrom4([4]byte{127, 0, 0, 1})), true
	case q.name == dohCanary && s.cfg.Policy.Restricted():
		return nameError, true
	case within("*.arpa"):
		// The names of the host's neighbours are nobody's business (RFC 6303), nor is where to find encrypted resolvers (RFC 9462).
		a, ok := reverse(q.name)
		return nameError, !ok || !s.cfg.Policy.Answerable(a).Allow
	}
	return reply{}, false
}

// service answers with an address of ours.
func service(q *query, a netip.Addr) reply {
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: serviceTTL}
	switch {
	case q.question.Type == dnsmessage.TypeA && a.Is4():
		return reply{answers: []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: a.As4()}}}}
	case q.question.Type == dnsmessage.TypeAAAA && a.Is6():
		return reply{answers: []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}}
	}
	return reply{}
}

// reverse returns the address that a name below in-addr.arpa or ip6.arpa stands for.
func reverse(name string) (netip.Addr, bool) {
	if labels, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(labels, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	labels, ok := strings.CutSuffix(name, ".ip6.arpa")
	nibbles := strings.Split(labels, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i, nibble := range nibbles {
		n, err := strconv.ParseUint(nibble, 16, 4)
		if err != nil || len(nibble) != 1 {
			return netip.Addr{}, false
		}
		at := 31 - i
		b[at/2] |= byte(n) << (4 * (1 - at%2))
	}
	return netip.AddrFrom16(b), true
}
