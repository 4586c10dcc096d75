package sshagent

import (
	"bytes"
	_ "embed"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

//go:embed known_hosts
var forges string

// KnownHosts are lines of a known_hosts file, in the order in which they are searched.
type KnownHosts []string

// Forges are the host keys of the usual forges, as they publish them.
func Forges() KnownHosts { return lines(forges) }

// ParseKnownHosts reads lines of a known_hosts file. Each text may hold several.
func ParseKnownHosts(texts []string) (KnownHosts, error) {
	var all KnownHosts
	for _, text := range texts {
		for _, line := range lines(text) {
			if _, _, _, _, _, err := ssh.ParseKnownHosts([]byte(line)); err != nil {
				return nil, errdef.New(errdef.ErrInvalid, "%.120q is not a line of a known_hosts file: %w", line, err).
					WithRemedy("a line is HOST KIND KEY, such as ssh-keyscan prints it; compare the key with what the host's owner publishes")
			}
			all = append(all, line)
		}
	}
	return all, nil
}

// lines are those of a file that say something.
func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

// hostKey is a key that a host is known by.
type hostKey struct {
	host string // as knownhosts.Normalize writes it
	key  []byte // in the wire's format
}

// keys are those that stand there for a host by its name. Patterns, hashed names and authorities of certificates are for the ssh
// client in the guest; whoever names hosts of a key means exactly these.
func (k KnownHosts) keys() (all []hostKey) {
	for _, line := range k {
		marker, hosts, key, _, _, err := ssh.ParseKnownHosts([]byte(line))
		if err != nil || marker != "" {
			continue
		}
		for _, host := range hosts {
			if !strings.ContainsAny(host, "*?!|") {
				all = append(all, hostKey{host: knownhosts.Normalize(host), key: key.Marshal()})
			}
		}
	}
	return all
}

// normal writes a host, or host:port, as known_hosts does.
func normal(host string) string {
	if h, port, err := net.SplitHostPort(host); err == nil {
		return knownhosts.Normalize(net.JoinHostPort(h, port))
	}
	return knownhosts.Normalize(host)
}

// CheckHost demands that a host, or host:port, has a known key.
func (k KnownHosts) CheckHost(host string) error {
	if strings.ContainsAny(host, "*?!| \t/@") || host == "" {
		return errdef.New(errdef.ErrInvalid, "%q is not the name of a host", host).WithRemedy(`name a host, such as "github.com", or "git.example.com:2222"`)
	}
	for _, known := range k.keys() {
		if known.host == normal(host) {
			return nil
		}
	}
	return errdef.New(errdef.ErrInvalid, "the key of host %q is not known, so that nobody can tell whether it is that host", host).
		WithRemedy("add its line to known_hosts in the sandbox block, as in: known_hosts = [%q]", normal(host)+" ssh-ed25519 AAAA...")
}

// find returns the first of the hosts that is known by a key.
func find(known []hostKey, key []byte) (string, bool) {
	for _, k := range known {
		if bytes.Equal(k.key, key) {
			return k.host, true
		}
	}
	return "", false
}
