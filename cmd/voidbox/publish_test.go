package main

import (
	"testing"

	"github.com/voidbox-run/voidbox/core/control"
)

func TestParsePublish(t *testing.T) {
	for text, want := range map[string]control.Publish{
		"80":                  {Protocol: "tcp", GuestPort: 80},
		"80/udp":              {Protocol: "udp", GuestPort: 80},
		"8080:80":             {Protocol: "tcp", HostPort: 8080, GuestPort: 80},
		"0:80":                {Protocol: "tcp", GuestPort: 80},
		"0.0.0.0:8080:80/tcp": {Protocol: "tcp", HostAddress: "0.0.0.0", HostPort: 8080, GuestPort: 80},
		"[::1]:8080:80/udp":   {Protocol: "udp", HostAddress: "::1", HostPort: 8080, GuestPort: 80},
	} {
		if got, err := parsePublish(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "x", "80/", "80/icmp", "80/udp/tcp", ":80", "x:80", "65536:80", "::1:8080:80", "[127.0.0.1]:1:2", "localhost:1:2", "1:", "-1", "1:2:3:4"} {
		if got, err := parsePublish(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
