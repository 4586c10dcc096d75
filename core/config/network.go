package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// networkNone is the network block that asks for no network.
const networkNone = "none"

const maxPort = 65535

var networkBlock = &block{
	Type: "network", Labels: []string{"plugin"}, MaxItems: 1, PluginKind: "network",
	Doc: "Network of the sandbox. `network \"none\"`, or no such block, means no network at all.",
	Blocks: []*block{
		{
			Type: "layout", MaxItems: 1,
			Doc: "Who is where in the guest's network.",
			Arguments: []argument{
				{Name: "subnet", Type: "string", Default: "\"10.0.2.0/24\"", Doc: "IPv4 network."},
				{Name: "guest", Type: "string", Default: "host 15 of it", Doc: "Address of the guest."},
				{Name: "gateway", Type: "string", Default: "host 2 of it", Doc: "Address of the gateway."},
				{Name: "dns", Type: "string", Default: "host 3 of it", Doc: "Address of the resolver."},
				{Name: "ipv6", Type: "string", Default: "\"auto\"", Values: []string{plan.IPv6Auto, plan.IPv6On, plan.IPv6Off}, Doc: "IPv6 in the guest; `auto` means where the host has a way to the IPv6 internet."},
				{Name: "subnet6", Type: "string", Default: "\"fd76:6f69:6462:6f78::/64\"", Doc: "IPv6 network, of 64 bits."},
				{Name: "guest_mac", Type: "string", Default: "\"52:54:00:12:34:56\"", Doc: "Hardware address of the guest."},
				{Name: "gateway_mac", Type: "string", Default: "\"52:54:00:12:34:01\"", Doc: "Hardware address of the gateway."},
				{Name: "mtu", Type: typeInteger, Default: "1500", Doc: "Largest packet, from 576 (1280 with IPv6) to 65520."},
			},
		},
		{
			Type: "egress", MaxItems: 1,
			Doc: "Where the guest may go. Without this block it may go wherever the host can, except to the host itself and to metadata services; with it, even an empty one, only where a rule lets it.",
			Arguments: []argument{
				{Name: "allow", Type: "list(string)", Doc: "Destinations that are allowed."},
				{Name: "deny", Type: "list(string)", Doc: "Destinations that are denied, whatever `allow` says."},
			},
		},
		{
			Type: "limits", MaxItems: 1,
			Doc: "Bounds on the network as a whole. What is not set is not bounded.",
			Arguments: []argument{
				{Name: "connections", Type: typeInteger, Doc: "Connections at once."},
				{Name: "new_connections_per_second", Type: typeInteger, Doc: "Connections that may be opened in a second."},
				{Name: "bytes_per_second", Type: typeSize, Doc: "Bytes in a second, both ways together."},
				{Name: "total_bytes", Type: typeSize, Doc: "Bytes in all. What is open when they have passed is reset."},
			},
		},
		{
			Type: "service", Labels: []string{"name"},
			Doc: "Something of the host that the guest may reach, by the name of the label: the only way to the host's loopback.",
			Arguments: []argument{
				{Name: "address", Type: "string", Required: true, Doc: "What the guest dials, such as \"10.0.2.2:11434\"."},
				{Name: "tcp", Type: "string", Doc: "Address and port of the host, such as \"127.0.0.1:11434\"."},
				{Name: "unix", Type: typePath, Doc: "Unix socket of the host, for streams."},
				{Name: "udp", Type: "string", Doc: "Address and port of the host, for datagrams. Exactly one of the three is given."},
			},
		},
		{
			Type: "publish",
			Doc:  "A port of the guest that becomes one of the host.",
			Arguments: []argument{
				{Name: "guest_port", Type: typeInteger, Required: true, Doc: "Port of the guest."},
				{Name: "host_port", Type: typeInteger, Default: "any that is free", Doc: "Port of the host."},
				{Name: "host_address", Type: "string", Default: "\"127.0.0.1\"", Doc: "Address of the host."},
				{Name: "protocol", Type: "string", Default: "\"tcp\"", Values: []string{"tcp", "udp"}, Doc: "Protocol."},
			},
		},
	},
}

// network reads a network block: what is the core's, and the rest as the plugin declares it.
func (d *decoder) network(s *plan.Sandbox) {
	blocks := d.blocks["network"]
	if len(blocks) == 0 {
		return
	}
	b := blocks[0]
	name := b.Labels[0]
	if name == networkNone {
		_, diags := b.Body.Content(&hcl.BodySchema{})
		d.diags = append(d.diags, diags...)
		return
	}
	content, rest, diags := b.Body.PartialContent(networkBlock.schema())
	own := d.l.newDecoder(content, diags, networkBlock)
	n := &plan.Network{}
	layout := own.layout(n)
	own.egress(n)
	own.networkLimits(n)
	own.services(n, layout)
	own.published(n)
	d.absorb(own)
	plugins := *b
	plugins.Body = rest
	config := d.pluginBlock(&plugins, base.KindNetwork, name, s.Name, b.LabelRanges[0])
	if config == nil {
		return
	}
	n.Block = *config
	if own.ok() {
		d.checkCapable(n, b)
		if _, err := policy.Attachment(n, policy.Host{IPv6: true}); err != nil {
			d.fail(at(b.DefRange, "Policy that cannot be held", "%v.", err))
		}
	}
	s.Network = n
}

// checkCapable finds what the plugin does not do. A plugin that is not there was reported before.
func (d *decoder) checkCapable(n *plan.Network, b *hcl.Block) {
	if !d.l.describer.enabled() {
		return
	}
	desc, err := d.l.describer.describe(base.KindNetwork, n.Plugin)
	if err != nil {
		return
	}
	if err := policy.CheckCapable(n, desc.Capabilities); err != nil {
		d.fail(at(b.DefRange, "Policy that cannot be held", "%s.%s", sentence(err), remedyText(err)))
	}
}

// layout reads who is where, and returns the compiled layout, the usual one where this one cannot be.
func (d *decoder) layout(n *plan.Network) network.Attachment {
	usual, _ := policy.Layout(plan.NetworkLayout{}, policy.Host{IPv6: true})
	l := d.nested("layout")
	if l == nil {
		return usual
	}
	n.Layout = plan.NetworkLayout{
		Subnet: l.str("subnet"), Guest: l.str("guest"), Gateway: l.str("gateway"), DNS: l.str("dns"), IPv6: l.choice("ipv6"), Subnet6: l.str("subnet6"),
		GuestMAC: l.str("guest_mac"), GatewayMAC: l.str("gateway_mac"), MTU: int(l.integer("mtu", 1, math.MaxUint16, 0)),
	}
	layout, err := policy.Layout(n.Layout, policy.Host{IPv6: true})
	if err != nil {
		if l.ok() {
			l.fail(at(d.blocks["layout"][0].DefRange, "Invalid layout", "%s.", sentence(err)))
		}
		n.Layout, layout = plan.NetworkLayout{}, usual
	}
	d.absorb(l)
	return layout
}

// egress reads a policy. Each destination has its own place, where the list is written out.
func (d *decoder) egress(n *plan.Network) {
	e := d.nested("egress")
	if e == nil {
		return
	}
	n.Egress = &plan.Egress{Allow: e.rules("allow", true), Deny: e.rules("deny", false)}
	d.absorb(e)
}

func (d *decoder) rules(name string, allow bool) []plan.EgressRule {
	texts := d.strs(name)
	if len(texts) == 0 {
		return nil
	}
	attr := d.content.Attributes[name]
	elements, diags := hcl.ExprList(attr.Expr)
	var rules []plan.EgressRule
	for i, text := range texts {
		where := attr.Expr.Range()
		if !diags.HasErrors() && len(elements) == len(texts) {
			where = elements[i].Range()
		}
		if text == plan.Redacted { // not known yet
			continue
		}
		r := plan.EgressRule{Origin: fmt.Sprintf("%s:%d", filepath.Base(where.Filename), where.Start.Line), Destination: text}
		if err := policy.CheckRule(r, allow); err != nil {
			d.fail(at(where, "Invalid destination", "%s.", sentence(err)))
			continue
		}
		rules = append(rules, r)
	}
	return rules
}

// sentence begins an error as a sentence begins, unless with what somebody wrote.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

func (d *decoder) networkLimits(n *plan.Network) {
	l := d.nested("limits")
	if l == nil {
		return
	}
	n.Limits = plan.NetworkLimits{
		Connections:             int(l.integer("connections", 1, math.MaxInt32, 0)),
		NewConnectionsPerSecond: int(l.integer("new_connections_per_second", 1, math.MaxInt32, 0)),
		BytesPerSecond:          l.size("bytes_per_second", 1, maxCount, 0),
		TotalBytes:              l.size("total_bytes", 1, math.MaxInt64, 0),
	}
	d.absorb(l)
}

func (d *decoder) services(n *plan.Network, layout network.Attachment) {
	first := map[string]hcl.Range{}
	for _, b := range d.blocks["service"] {
		s := d.l.decode(b, d.spec.nested("service"))
		service := plan.Service{Name: b.Labels[0], Address: s.str("address"), TCPAddress: s.str("tcp"), UDPAddress: s.str("udp")}
		if path := s.str("unix"); path != "" {
			service.UnixPath = d.l.path(path)
		}
		key := service.Address
		if service.UDPAddress != "" {
			key += "/udp"
		}
		if r, ok := first[key]; ok && s.ok() {
			s.fail(at(b.DefRange, "Duplicate service", "There is a service at %s already, at %s.", service.Address, place(r)))
		}
		first[key] = b.DefRange
		if s.ok() {
			if _, err := policy.Service(service, layout); err != nil {
				s.fail(at(b.DefRange, "Invalid service", "%s.", sentence(err)))
			}
		}
		n.Services = append(n.Services, service)
		d.absorb(s)
	}
}

func (d *decoder) published(n *plan.Network) {
	for _, b := range d.blocks["publish"] {
		p := d.l.decode(b, d.spec.nested("publish"))
		n.Published = append(n.Published, plan.PublishedPort{
			Protocol:    orDefault(p.choice("protocol"), "tcp"),
			HostAddress: p.str("host_address"),
			HostPort:    int(p.integer("host_port", 0, maxPort, 0)),
			GuestPort:   int(p.integer("guest_port", 1, maxPort, 0)),
		})
		d.absorb(p)
	}
}
