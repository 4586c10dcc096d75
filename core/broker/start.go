package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/voidbox-run/voidbox/internal/companion"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Config says how a broker is started.
type Config struct {
	Program string   // of voidbox; empty means the running one, or the one beside it
	Env     []string // of the process: proxies and certificates; see Environment
	// Heard is called with every report about a grant that is not an answer to Grant or Revoke. It must not block for long.
	Heard func(Report)
}

// Broker is a running broker.
type Broker struct {
	Socket string // where the guest's network leads to

	process *companion.Process
	heard   func(Report)

	mu      sync.Mutex
	enc     *json.Encoder
	answers chan Report // to the request that is under way
	done    chan struct{}
	err     error // why it ended; set before done is closed
}

// Start starts a broker of its own process and waits until it listens.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	dir, err := os.MkdirTemp("", "vbx-broker-") // 0700
	if err != nil {
		return nil, err
	}
	b := &Broker{Socket: filepath.Join(dir, "http"), heard: cfg.Heard, answers: make(chan Report, 1), done: make(chan struct{})}
	if b.heard == nil {
		b.heard = func(Report) {}
	}
	b.process, err = companion.Start(companion.Config{Program: cfg.Program, Args: []string{Command, b.Socket}, Env: cfg.Env})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the credential broker: %w", err), os.RemoveAll(dir))
	}
	b.enc = json.NewEncoder(b.process.In)
	go b.attend()
	first, err := b.answer(ctx)
	if err == nil && !first.Listening {
		err = errors.New("it does not say that it listens")
	}
	if err != nil {
		b.process.Kill()
		<-b.done
		return nil, errors.Join(fmt.Errorf("start the credential broker: %w", err), os.RemoveAll(dir))
	}
	return b, nil
}

// attend follows the process to its end.
func (b *Broker) attend() {
	defer close(b.done)
	b.listen(b.process.Out)
	b.err = errdef.New(errdef.ErrUnavailable, "the credential broker ended: %w", b.process.Wait())
	_ = os.RemoveAll(filepath.Dir(b.Socket)) // where it was killed
}

// listen passes on what the broker says until it says no more.
func (b *Broker) listen(out io.Reader) {
	dec := json.NewDecoder(out)
	for {
		var r Report
		if dec.Decode(&r) != nil {
			return
		}
		if r.Listening || r.Done || r.Refused != "" {
			select {
			case b.answers <- r:
			default: // an answer that nobody asked for
			}
			continue
		}
		b.heard(r)
	}
}

func (b *Broker) answer(ctx context.Context) (Report, error) {
	select {
	case r := <-b.answers:
		return r, nil
	case <-b.done:
		return Report{}, b.err
	case <-ctx.Done():
		return Report{}, context.Cause(ctx)
	}
}

// ask sends one request and waits for the answer. It is not given up half way, since the answer would be taken for the next one's.
func (b *Broker) ask(req request) (Report, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enc.Encode(req); err != nil {
		<-b.done // it does not read any more: it has ended, or is about to
		return Report{}, b.err
	}
	return b.answer(context.Background())
}

// Grant lets the guest that holds the token use a credential.
func (b *Broker) Grant(g Grant) error {
	if _, err := g.check(); err != nil {
		return err
	}
	r, err := b.ask(request{Grant: &g})
	if err == nil && r.Refused != "" {
		err = errdef.New(errdef.ErrInvalid, "%s", r.Refused)
	}
	return err
}

// Revoke ends a grant and returns what it has spent.
func (b *Broker) Revoke(token string) (Spent, error) {
	r, err := b.ask(request{Revoke: token})
	if err != nil || r.Spent == nil {
		return Spent{}, err
	}
	return *r.Spent, nil
}

// Done is closed when the broker has ended, by Close or by itself; then Err says how.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err says how the broker ended, once it has.
func (b *Broker) Err() error { return b.err }

// Close ends the broker. The end of ctx ends the patience with it.
func (b *Broker) Close(ctx context.Context) error {
	_ = b.process.In.Close()
	select {
	case <-b.done:
	case <-ctx.Done():
		b.process.Kill()
		<-b.done
	}
	return nil
}

// Environment picks out of an environment what a broker needs of it: how the internet is reached, and whom to trust there.
func Environment(getenv func(string) string) []string {
	var env []string
	for _, name := range []string{
		"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR",
	} {
		if value := getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
