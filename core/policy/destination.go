package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/voidbox-run/voidbox/internal/hostname"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Destination is what a rule speaks of. Exactly one of CIDR, Domain and Any is set.
type Destination struct {
	CIDR      netip.Prefix
	Domain    string // canonical host name, or *.name
	Any       bool
	Ports     []network.PortRange // empty means every port
	Protocols []network.Protocol  // empty means every one
}

// ParseDestination reads a destination: host, *.host, address, prefix or *, then perhaps :port, :first-last or a list of these with
// commas, then perhaps /tcp, /udp or /icmp.
func ParseDestination(text string) (Destination, error) {
	var d Destination
	rest := text
	for _, p := range []network.Protocol{network.TCP, network.UDP, network.ICMP} {
		if cut, ok := strings.CutSuffix(rest, "/"+string(p)); ok {
			rest, d.Protocols = cut, []network.Protocol{p}
			break
		}
	}
	host, ports, err := splitPorts(rest)
	if err != nil {
		return d, fmt.Errorf("%q: %w", text, err)
	}
	if ports != "" {
		if slices.Contains(d.Protocols, network.ICMP) {
			return d, fmt.Errorf("%q: icmp has no ports", text)
		}
		if d.Ports, err = parsePorts(ports); err != nil {
			return d, fmt.Errorf("%q: %w", text, err)
		}
	}
	if err := d.setHost(host); err != nil {
		return d, fmt.Errorf("%q: %w", text, err)
	}
	return d, nil
}

// splitPorts takes the ports off. An IPv6 address or prefix that has ports stands in brackets.
func splitPorts(text string) (host, ports string, err error) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, after, ok := strings.Cut(inner, "]")
		ports, colon := strings.CutPrefix(after, ":")
		if !ok || after != "" && (!colon || ports == "") || !strings.Contains(host, ":") {
			return "", "", fmt.Errorf("brackets hold an IPv6 address or prefix, and ports may follow after a colon")
		}
		return host, ports, nil
	}
	if strings.Count(text, ":") > 1 {
		return text, "", nil // IPv6 as a whole
	}
	host, ports, colon := strings.Cut(text, ":")
	if colon && ports == "" {
		return "", "", fmt.Errorf("a port is missing after the colon")
	}
	return host, ports, nil
}

func parsePorts(text string) ([]network.PortRange, error) {
	var out []network.PortRange
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from == 0 || from > to {
			return nil, fmt.Errorf("%q is not a port, nor a range of ports from 1 to 65535", part)
		}
		out = append(out, network.PortRange{First: uint16(from), Last: uint16(to)})
	}
	return out, nil
}

func (d *Destination) setHost(host string) error {
	if host == "*" {
		d.Any = true
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" || a.Is4In6() {
			return fmt.Errorf("%s is an address that nothing is sent to", host)
		}
		d.CIDR = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	if p, err := netip.ParsePrefix(host); err == nil {
		if p != p.Masked() {
			return fmt.Errorf("%s has bits beyond its prefix; write %s", host, p.Masked())
		}
		if p.Addr().Is4In6() {
			return fmt.Errorf("%s is an IPv4 prefix; write it as one", host)
		}
		d.CIDR = p
		return nil
	}
	ascii, err := names.ToASCII(host)
	if err != nil {
		ascii = host
	}
	name, ok := hostname.Domain(ascii)
	if !ok {
		return fmt.Errorf("%q is none of a host name, *.name, an address, a prefix such as 10.0.0.0/8, and *", host)
	}
	d.Domain = name
	return nil
}

// names turns names with other letters into those that DNS knows.
var names = idna.New(idna.MapForLookup(), idna.StrictDomainName(false))
