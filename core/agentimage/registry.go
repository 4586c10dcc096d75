package agentimage

import (
	"bufio"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// npmjs is where packages come from unless npm is told otherwise.
const npmjs = "https://registry.npmjs.org"

// Registry returns the registry that npm itself would ask: that of $NPM_CONFIG_REGISTRY, else that of the user's .npmrc.
func Registry(getenv func(string) string, home string) string {
	for _, name := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"} {
		if value := getenv(name); value != "" {
			return strings.TrimRight(value, "/")
		}
	}
	file := getenv("NPM_CONFIG_USERCONFIG")
	if file == "" {
		file = filepath.Join(home, ".npmrc")
	}
	if value := setting(file, "registry"); value != "" {
		return strings.TrimRight(value, "/")
	}
	return npmjs
}

// setting finds a key in a file of npm's. What else stands there, tokens above all, is not looked at.
func setting(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	found := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.TrimSpace(name) == key {
			found = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return found
}

// Bounds of a download.
const (
	maxTarball = 1 << 30
	attempts   = 3
	stall      = time.Minute // nothing has come for so long
)

// registry serves packages.
type registry struct {
	base   string
	client *http.Client
	pause  time.Duration // the first of the growing pauses between attempts
}

// tarball is where the registry protocol has a package of that name and version.
func (s registry) tarball(p Package) (string, error) {
	u, err := url.Parse(s.base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errdef.New(errdef.ErrInvalid, "npm's registry %q is not an http or https URL", s.base).
			WithRemedy("mend NPM_CONFIG_REGISTRY, or registry in ~/.npmrc")
	}
	return u.JoinPath(p.Name, "-", path.Base(p.Name)+"-"+p.Version+".tgz").String(), nil
}

// fetch hands the tarball of a package to use, from its beginning, as often as the network needs. What use has made counts only when
// fetch returns nil: the sum is known at the end.
func (s registry) fetch(ctx context.Context, p Package, use func(io.Reader) error) error {
	from, err := s.tarball(p)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		err := s.attempt(ctx, p, from, use)
		var broken *networkError
		if err == nil || !errors.As(err, &broken) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n == attempts {
			return errdef.New(errdef.ErrUnavailable, "fetch %s: %w", from, broken.err).
				WithRemedy("is the network up, and HTTPS_PROXY set where one is needed? Another registry is named by NPM_CONFIG_REGISTRY")
		}
		select {
		case <-time.After(s.pause << (n - 1)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// networkError is worth another attempt.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

func (s registry) attempt(ctx context.Context, p Package, from string, use func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(stall, func() { cancel(&networkError{fmt.Errorf("nothing has come for %s", stall)}) })
	defer watchdog.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return &networkError{withoutURL(err)}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return &networkError{errors.New(resp.Status)}
	case resp.StatusCode != http.StatusOK:
		return errdef.New(errdef.ErrNotFound, "fetch %s: %s", from, resp.Status).
			WithRemedy("a registry that lacks %s, or wants a login, cannot be used: unset NPM_CONFIG_REGISTRY to ask %s", p, npmjs)
	}
	body := &tally{r: resp.Body, left: maxTarball, moved: func() { watchdog.Reset(stall) }}
	sum := sha512.New()
	stream := io.TeeReader(body, sum)
	err = use(stream)
	if body.err == nil {
		_, _ = io.Copy(io.Discard, stream) // so that the sum is that of the whole
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if body.err != nil {
		return body.err
	}
	want, sumErr := p.sum()
	if sumErr != nil {
		return sumErr
	}
	if got := sum.Sum(nil); string(got) != string(want) {
		return errdef.New(errdef.ErrInvalid, "%s is not the package that voidbox knows as %s: its integrity is sha512-%s, and should be %s",
			from, p, base64.StdEncoding.EncodeToString(got), p.Integrity).WithReason("wrong_hash").
			WithRemedy("do not use it: this registry, or something on the way to it, has changed the package")
	}
	return err
}

// withoutURL is an error of the client's, whose text repeats the address.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// tally remembers how a download ended, and ends one that is too long.
type tally struct {
	r     io.Reader
	left  int64
	moved func()
	err   error // that was not its end
}

func (t *tally) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	t.moved()
	if t.left -= int64(n); t.left < 0 {
		err = errdef.New(errdef.ErrExhausted, "the package is longer than %d bytes", int64(maxTarball))
		t.err = err
		return 0, err
	}
	if err != nil && err != io.EOF {
		t.err = &networkError{err}
	}
	return n, err
}
