package broker

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// Bounds of what a guest may send.
const (
	maxHeader      = 64 << 10
	maxRequest     = 64 << 20
	maxConnections = 256
	headerTime     = 30 * time.Second
)

// proxy is the handler of the broker's one server.
type proxy struct {
	ledger    *ledger
	transport http.RoundTripper
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.ledger.find(tokenOf(r.Header))
	if a == nil {
		refuse(w, http.StatusUnauthorized, "authentication_error", "this sandbox has no such token; use the key that its environment holds")
		return
	}
	call, ok := findEndpoint(r)
	if !ok {
		refuse(w, http.StatusForbidden, "permission_error", fmt.Sprintf("%.20s %.200q is not a call of a model; a sandbox has the key for these alone", r.Method, r.URL.Path))
		return
	}
	if over := a.admit(); over != "" {
		// Not 429, which programs try again, and not 401 or 403, which some take for a login that is missing.
		refuse(w, http.StatusBadRequest, "invalid_request_error", over)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	p.forward(a, call).ServeHTTP(w, r)
}

// refuse answers in a shape that the programs of both families show to their users.
func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "error", "error": map[string]string{"type": kind, "message": "voidbox: " + message},
	})
}

func (p *proxy) forward(a *account, call endpoint) http.Handler {
	return &httputil.ReverseProxy{
		Transport:      p.transport,
		FlushInterval:  -1, // each piece of a stream at once
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Rewrite:        func(pr *httputil.ProxyRequest) { rewrite(pr, a) },
		ModifyResponse: func(resp *http.Response) error { return p.answer(resp, a, call) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				p.ledger.report(Report{Token: a.Token, Trouble: a.redactor.String(fmt.Sprintf("ask %s: %v", a.upstream.Host, err))})
			}
			refuse(w, http.StatusBadGateway, "api_error", a.upstream.Host+" cannot be reached from the host")
		},
	}
}

// rewrite makes the guest's request the host's.
func rewrite(pr *httputil.ProxyRequest, a *account) {
	out := pr.Out
	query := out.URL.RawQuery
	pr.SetURL(a.upstream)
	// An upstream with a path, such as /api/v1, is met by a guest that has added /v1 of its own accord, or has not.
	if strings.HasSuffix(a.upstream.Path, "/v1") && strings.HasPrefix(pr.In.URL.Path, "/v1/") {
		out.URL.Path = a.upstream.Path + strings.TrimPrefix(pr.In.URL.Path, "/v1")
	}
	out.URL.RawQuery = query
	out.Host = a.upstream.Host
	for _, name := range credentialHeaders {
		out.Header.Del(name)
	}
	for _, name := range []string{
		"Accept-Encoding",       // what is to be counted must be readable
		"Upgrade", "Connection", // to a protocol that nobody counts
	} {
		out.Header.Del(name)
	}
	if a.Key != "" {
		out.Header.Set(a.Header, a.Prefix+a.Key)
	}
}

// answer sees to what an upstream sends back.
func (p *proxy) answer(resp *http.Response, a *account, call endpoint) error {
	for name, values := range resp.Header {
		for i := range values {
			resp.Header[name][i] = a.redactor.String(values[i])
		}
	}
	resp.Header.Del("Set-Cookie") // of a session that is the host's
	if location := resp.Header.Get("Location"); location != "" {
		// Another host gets neither the key nor the guest.
		resp.Header.Del("Location")
		p.ledger.report(Report{Token: a.Token, Trouble: fmt.Sprintf("%s redirects to %.200s, which is not followed", a.upstream.Host, hostOf(location))})
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		p.ledger.report(Report{Token: a.Token, Trouble: fmt.Sprintf("%s refuses the key (%.100s)", a.upstream.Host, resp.Status)})
	}
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	b := &body{src: resp.Body, redactor: a.redactor}
	if call.bills && resp.StatusCode < 300 {
		kind := resp.Header.Get("Content-Type")
		b.count = &counter{stream: strings.Contains(kind, "event-stream") || strings.Contains(kind, "ndjson")}
	}
	b.done = func(whole bool) {
		resp.Trailer = nil // no model API has any, and they would be a way around the redactor
		if b.count != nil {
			used, told := b.count.finish(whole)
			p.ledger.report(a.charge(b.count.model, used, told))
		}
	}
	resp.Body = b
	return nil
}

func hostOf(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return "somewhere else"
	}
	return u.Host
}
