package plan

import (
	"sort"
	"strings"
)

// Redacted stands where a secret stood.
const Redacted = "(sensitive)"

// Redactor replaces secrets in text. The zero value changes nothing.
type Redactor struct {
	replacer *strings.Replacer
	secrets  []string
}

// shortestSecret is the length from which a secret is looked for in text: shorter ones would turn ordinary words into noise.
const shortestSecret = 4

// NewRedactor returns a redactor for the secrets. Where one secret is part of another, the longer one wins.
func NewRedactor(secrets []Secret) Redactor {
	var values []string
	for _, s := range secrets {
		if len(s.Value) >= shortestSecret {
			values = append(values, s.Value)
		}
	}
	if len(values) == 0 {
		return Redactor{}
	}
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	pairs := make([]string, 0, 2*len(values))
	for _, v := range values {
		pairs = append(pairs, v, Redacted)
	}
	return Redactor{replacer: strings.NewReplacer(pairs...), secrets: values}
}

// String returns text without secrets.
func (r Redactor) String(text string) string {
	if r.replacer == nil {
		return text
	}
	return r.replacer.Replace(text)
}

// Open returns the length of the longest end of text that may be the beginning of a secret, so that a text that arrives in pieces
// can be held back until it is known.
func (r Redactor) Open(text string) int {
	longest := 0
	for _, secret := range r.secrets {
		for n := min(len(secret)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, secret[:n]) {
				longest = n
			}
		}
	}
	return longest
}
