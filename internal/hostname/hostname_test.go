package hostname

import (
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	long := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"Example.COM": "example.com", "example.com.": "example.com", "_dns.example.com": "_dns.example.com", "localhost": "localhost",
		"a-b.c": "a-b.c", long + ".com": long + ".com", "xn--bcher-kva.example": "xn--bcher-kva.example",

		"": "", ".": "", "example.com..": "", "a..b": "", "-a.com": "", "a-.com": "", long + "a.com": "", strings.Repeat("a.", 127) + "com": "",
		"a b.com": "", "a\x00.com": "", "a%2e.com": "", "bücher.example": "", "*.example.com": "", "[::1]": "", "::1": "",
		// Addresses, however they are written.
		"127.0.0.1": "", "2130706433": "", "0x7f.1": "", "017700000001": "", "0x7f000001": "", "1.2.3.4.": "",
	} {
		got, ok := Canonical(in)
		if got != want || ok != (want != "") {
			t.Errorf("Canonical(%q) is %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, domain string
		want         bool
	}{
		{"example.com", "example.com", true},
		{"www.example.com", "example.com", false},
		{"www.example.com", "*.example.com", true},
		{"a.b.example.com", "*.example.com", true},
		{"example.com", "*.example.com", false},
		{"badexample.com", "*.example.com", false},
		{"example.com.evil.net", "*.example.com", false},
		{"example.com.evil.net", "example.com", false},
	} {
		if got := Within(c.name, c.domain); got != c.want {
			t.Errorf("%s within %s: %v", c.name, c.domain, got)
		}
	}
}

func TestDomain(t *testing.T) {
	for in, want := range map[string]string{
		"Example.com": "example.com", "*.Example.com.": "*.example.com", "*": "", "*.": "", "*.*.com": "", "a*.com": "", "*.com": "*.com",
	} {
		if got, ok := Domain(in); got != want || ok != (want != "") {
			t.Errorf("Domain(%q) is %q, %v; want %q", in, got, ok, want)
		}
	}
}
