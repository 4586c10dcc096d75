package modelhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Defaults, and what no answer exceeds.
const (
	DefaultRetries = 4
	DefaultIdle    = 5 * time.Minute
	defaultBackoff = time.Second
	maxWait        = 2 * time.Minute // that a server may ask for
	maxErrorBytes  = 64 << 10
)

// Config says how a provider is reached.
type Config struct {
	Name    string      // of the provider, for messages
	Base    string      // URL; see BaseURL
	Header  http.Header // sent with every request
	Secret  string      // credential that stands in Header, to be kept out of messages
	Retries int         // after the first attempt
	Idle    time.Duration
	Backoff time.Duration             // before the second attempt; it doubles from then on
	Remedy  func(*StatusError) string // what the user can do about a status; may be nil or return nothing
}

// Client makes requests.
type Client struct {
	cfg    Config
	client *http.Client
	wait   func(ctx context.Context, d time.Duration) error
}

// New returns a client.
func New(cfg Config) *Client {
	if cfg.Idle <= 0 {
		cfg.Idle = DefaultIdle
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = defaultBackoff
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 30 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 32,
		ForceAttemptHTTP2:   true,
	}
	return &Client{cfg: cfg, wait: sleep, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// BaseURL checks the URL of a provider and returns it without a slash at its end.
func BaseURL(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%q is not the URL of a server, such as https://host or http://host:port/path", base)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the URL must hold neither user, query nor fragment; a key belongs into api_key")
	}
	return strings.TrimRight(base, "/"), nil
}

// HostPort returns host:port of a URL.
func HostPort(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return ""
	}
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
}

// Loopback tells whether a server is on this machine's loopback, which no guest reaches.
func Loopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Foreign names a server for messages: the vendor's name for its own, else its address.
func Foreign(vendor, home, base string) string {
	if base == home {
		return vendor
	}
	return "the server at " + base
}

// Close ends the connections that are kept for later requests.
func (c *Client) Close() { c.client.CloseIdleConnections() }

// Request is one request. Body is sent as JSON, unless it is nil.
type Request struct {
	Method string
	Path   string // below the base URL
	Body   []byte
	Accept string
	Model  string // for messages
}

// Do makes a request and has read take the body of a good answer, again where it helps. Before each further attempt it calls retry,
// which may be nil and whose error ends the call.
func (c *Client) Do(ctx context.Context, req Request, retry func(llm.Retry) error, read func(io.Reader) error) error {
	for attempt := 0; ; attempt++ {
		err := c.once(ctx, req, read)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		delay, again := c.backoff(err, attempt)
		if !again || attempt >= c.cfg.Retries {
			return c.final(err, attempt)
		}
		if retry != nil {
			if err := retry(llm.Retry{Attempt: attempt + 1, Reason: c.clean(err.Error()), Delay: delay}); err != nil {
				return err
			}
		}
		if err := c.wait(ctx, delay); err != nil {
			return err
		}
	}
}

// errIdle ends a request whose server has gone silent.
var errIdle = errors.New("the server is silent")

func (c *Client) once(ctx context.Context, req Request, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(c.cfg.Idle, func() { cancel(errIdle) })
	defer idle.Stop()

	var body io.Reader
	if req.Body != nil {
		body = bytes.NewReader(req.Body)
	}
	hr, err := http.NewRequestWithContext(ctx, req.Method, c.cfg.Base+req.Path, body)
	if err != nil {
		return err
	}
	for name, values := range c.cfg.Header {
		hr.Header[name] = values
	}
	if req.Body != nil {
		hr.Header.Set("Content-Type", "application/json")
	}
	if req.Accept != "" {
		hr.Header.Set("Accept", req.Accept)
	}
	resp, err := c.client.Do(hr)
	if err != nil {
		return c.unreached(ctx, err)
	}
	defer resp.Body.Close()
	from := &watched{from: resp.Body, alive: func() { idle.Reset(c.cfg.Idle) }}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.refused(resp, from, req.Model)
	}
	err = read(from)
	if err != nil && context.Cause(ctx) == errIdle {
		return c.unreached(ctx, err)
	}
	return err
}

// unreached tells the silence of a server from a connection that failed.
func (c *Client) unreached(ctx context.Context, err error) error {
	if context.Cause(ctx) == errIdle {
		return errdef.New(errdef.ErrUnavailable, "%s sent nothing for %v", c.cfg.Name, c.cfg.Idle).WithReason("provider_silent").
			WithRemedy("run it again; if the model thinks for longer than that, set idle_timeout in the llm block")
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the rest only repeats the URL
	}
	return &Transient{Err: fmt.Errorf("reach %s at %s: %w", c.cfg.Name, c.cfg.Base, err), unreached: true}
}

// watched tells that its source is alive.
type watched struct {
	from  io.Reader
	alive func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if n > 0 {
		w.alive()
	}
	return n, err
}

// backoff says whether another attempt may help, and after which time.
func (c *Client) backoff(err error, attempt int) (time.Duration, bool) {
	delay := c.cfg.Backoff << min(attempt, 5)
	delay = delay/2 + rand.N(delay/2+1)
	var status *StatusError
	if errors.As(err, &status) {
		if !status.Temporary() || status.RetryAfter > maxWait {
			return 0, false
		}
		return max(delay, status.RetryAfter), true
	}
	var broken *Transient
	return delay, errors.As(err, &broken)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
