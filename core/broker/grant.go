package broker

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/voidbox-run/voidbox/core/price"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Grant lets the holder of a token use a credential. It holds the credential: it is never logged, and has no String.
type Grant struct {
	Token    string `json:"token"`    // what the guest shows; also its name in reports
	Upstream string `json:"upstream"` // base URL, http or https
	Header   string `json:"header"`   // that carries the credential
	Prefix   string `json:"prefix"`   // in front of it, such as "Bearer "
	Key      string `json:"key"`      // empty for an upstream that wants none

	Budget Budget `json:"budget"`
	// Prices are of the models that have one. One named "" is the price of every model.
	Prices map[string]price.Price `json:"prices,omitempty"`
}

// Budget bounds a grant. Zero means unlimited.
type Budget struct {
	Tokens uint64  `json:"tokens,omitempty"`
	USD    float64 `json:"usd,omitempty"`
}

func (b Budget) none() bool { return b == Budget{} }

// tokenPrefix makes a placeholder known for what it is, wherever it turns up.
const tokenPrefix = "vbx-"

// NewToken returns a placeholder of 32 random bytes.
func NewToken() string {
	var random [32]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// check refuses a grant that could not be kept.
func (g Grant) check() (*url.URL, error) {
	u, err := url.Parse(g.Upstream)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errdef.New(errdef.ErrInvalid, "the upstream of a credential must be a URL such as https://api.example.com")
	case !strings.HasPrefix(g.Token, tokenPrefix):
		return nil, errdef.New(errdef.ErrInvalid, "a grant needs a token")
	case g.Key != "" && g.Header == "" || strings.ContainsAny(g.Key+g.Prefix+g.Header, "\r\n\x00"):
		return nil, errdef.New(errdef.ErrInvalid, "the credential for %s cannot be put into a header", u.Host)
	}
	return u, nil
}

// credentialHeaders may carry a token. They are taken off every request, whichever of them did.
var credentialHeaders = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Proxy-Authorization", "Cookie"}

// tokenOf finds the token in a request.
func tokenOf(h http.Header) string {
	for _, name := range credentialHeaders {
		for _, value := range h.Values(name) {
			if at := strings.LastIndex(value, tokenPrefix); at >= 0 {
				return value[at:]
			}
		}
	}
	return ""
}

// Spent is what a grant has used.
type Spent struct {
	Requests uint64    `json:"requests"`
	Usage    llm.Usage `json:"usage"`
	// Uncounted says that an answer did not tell how many tokens it took.
	Uncounted bool `json:"uncounted,omitempty"`
}

func (s Spent) tokens() uint64 {
	u := s.Usage
	return u.InputTokens + u.OutputTokens + u.CacheReadTokens + u.CacheWriteTokens
}
