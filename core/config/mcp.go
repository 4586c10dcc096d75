package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
)

// server reads an MCP server.
func (d *decoder) server(s *plan.Skill, b *hcl.Block) {
	s.Command, s.URL = d.strs("command"), d.str("url")
	s.Tools, s.Timeout = d.strs("tools"), d.duration("timeout", 0)
	if s.Host = d.choice("on") == "host"; s.Host {
		s.Dir = d.l.dir
	}
	// What a server on the host is given stays there, so that secrets may be among it.
	d.anyOrigin = s.Host
	s.Env, s.Headers = d.env(), d.strMap("headers")
	d.anyOrigin = false
	if !d.ok() {
		return
	}
	if d.has("command") == d.has("url") {
		d.fail(at(b.DefRange, "Invalid skill", "An MCP server needs either \"command\", which starts it, or \"url\", where it is reached."))
		return
	}
	if d.has("url") {
		d.serverAddress(s)
		return
	}
	if d.has("headers") {
		d.fail(at(d.rng("headers"), "Invalid skill", "\"headers\" belong to a server with a \"url\"."))
	}
	if len(s.Command) == 0 || s.Command[0] == "" || strings.ContainsRune(strings.Join(s.Command, ""), 0) {
		d.fail(at(d.rng("command"), "Invalid skill", "\"command\" must begin with a program and hold no zero byte."))
	}
}

// headerName is a token (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// serverAddress checks a server that is reached at an address.
func (d *decoder) serverAddress(s *plan.Skill) {
	u, err := url.Parse(s.URL)
	if s.URL != plan.Redacted && (err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
		d.fail(at(d.rng("url"), "Invalid skill", "\"url\" must be an http or https address without a user name."))
	}
	if d.has("env") {
		d.fail(at(d.rng("env"), "Invalid skill", "\"env\" belongs to a server that \"command\" starts."))
	}
	if !d.has("headers") {
		return
	}
	if !s.Host {
		d.fail(at(d.rng("headers"), "Invalid skill", "Headers would pass through the sandbox. Set on = \"host\", and the server is reached from the host."))
	}
	for _, name := range sortedKeys(s.Headers) {
		if !headerName.MatchString(name) || strings.ContainsAny(s.Headers[name], "\r\n\x00") {
			d.fail(at(d.rng("headers"), "Invalid skill", "%q cannot be a header, or its value holds a line end.", name))
		}
	}
}
