// Package hostname gives host names the one form in which they are compared: lower case, no final dot, labels of letters, digits,
// hyphens and underscores (RFC 1123; the underscore is for service names, RFC 8552). Names that are not of this form are no names:
// whoever compares names must not wonder how others read spaces, NULs, percent signs or Unicode in them.
package hostname

import "strings"

// Bounds of RFC 1035, section 2.3.4, without the length octets.
const (
	maxName  = 253
	maxLabel = 63
)

// Canonical returns the form in which a name is compared. False says that it is no host name; an IP address is none.
func Canonical(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxName {
		return "", false
	}
	labels := 0
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return "", false
		}
		labels++
	}
	if last := s[strings.LastIndexByte(s, '.')+1:]; looksNumeric(last) {
		return "", false
	}
	return strings.ToLower(s), labels > 0
}

// Within tells whether a canonical name is the domain's: equal to it, or below it where the domain is written *.name.
func Within(name, domain string) bool {
	if below, ok := strings.CutPrefix(domain, "*"); ok {
		return len(name) > len(below) && strings.HasSuffix(name, below) // below begins with the dot
	}
	return name == domain
}

// Domain returns the canonical form of a rule's domain: a host name, or *.name.
func Domain(s string) (string, bool) {
	below, wild := strings.CutPrefix(s, "*.")
	name, ok := Canonical(below)
	if ok && wild {
		return "*." + name, true
	}
	return name, ok
}

func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// looksNumeric tells whether a last label makes an address of a name, as the URL standard has it: 10, 0x0a and 010 all do, and so
// 1.2.3.4, 0x7f.1 and 017700000001 are no names. No top-level domain begins with a digit.
func looksNumeric(label string) bool { return label[0] >= '0' && label[0] <= '9' }
