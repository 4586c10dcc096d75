package sshagent

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/voidbox-run/voidbox/internal/testsshd"
)

// published are fingerprints as the forges' own documentation has them, at the addresses that the file names.
var published = map[string][]string{
	"github.com":    {"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU", "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM", "SHA256:uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s"},
	"gitlab.com":    {"SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8", "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw", "SHA256:ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ"},
	"bitbucket.org": {"SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM", "SHA256:FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0", "SHA256:46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E"},
	"codeberg.org":  {"SHA256:mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g", "SHA256:T9FYDEHELhVkulEKKwge5aVhVTbqCW0MIRwAfpARs/E", "SHA256:6QQmYi4ppFS4/+zSZ5S4IU+4sa6rwvQ4PbhCtPEBekQ"},
}

func TestForgesAreWhatTheyPublish(t *testing.T) {
	found := map[string][]string{}
	for _, line := range Forges() {
		_, hosts, key, _, _, err := ssh.ParseKnownHosts([]byte(line))
		if err != nil || len(hosts) != 1 {
			t.Fatalf("%s: %v", line, err)
		}
		found[hosts[0]] = append(found[hosts[0]], ssh.FingerprintSHA256(key))
	}
	for host, want := range published {
		if !slices.Equal(found[host], want) {
			t.Errorf("%s: %v, published are %v", host, found[host], want)
		}
	}
	if len(found) != len(published) {
		t.Errorf("%d hosts, %d are published", len(found), len(published))
	}
}

func TestHostsAreKnownByTheirNames(t *testing.T) {
	key := testsshd.Public(t, testsshd.Key(t, "ed25519"))
	known, err := ParseKnownHosts([]string{
		"# a comment\n\nplain.example,alias.example " + key + " with a comment\n[port.example]:2222 " + key + "\n",
		"*.pattern.example " + key, "@cert-authority ca.example " + key, "|1|GHBCONB14Atr671xuXZPzfCI+ow=|CROx+l1I0R1eyNpiW2ycxYQGOs0= " + key,
	})
	if err != nil || len(known) != 5 {
		t.Fatalf("%d lines, %v", len(known), err)
	}
	for _, host := range []string{"plain.example", "alias.example", "plain.example:22", "port.example:2222"} {
		if err := known.CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"port.example", "a.pattern.example", "ca.example", "other.example", "", "*.example", "git@plain.example", "plain.example/path"} {
		if err := known.CheckHost(host); err == nil {
			t.Errorf("%q is known", host)
		}
	}
}

func TestLinesThatAreNone(t *testing.T) {
	for _, text := range []string{"example.com", "example.com ssh-ed25519", "example.com ssh-ed25519 AAAA", "example.com ssh-rsa not*base64"} {
		if _, err := ParseKnownHosts([]string{text}); err == nil || !strings.Contains(err.Error(), "known_hosts") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
