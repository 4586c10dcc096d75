package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

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

	cmd   *exec.Cmd
	in    io.WriteCloser
	words *lastWords
	heard func(Report)

	mu      sync.Mutex
	enc     *json.Encoder
	answers chan Report // to the request that is under way
	done    chan struct{}
	err     error // why it ended; set before done is closed
}

// Start starts a broker of its own process and waits until it listens.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	program, err := findProgram(cfg.Program)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "vbx-broker-") // 0700
	if err != nil {
		return nil, err
	}
	b := &Broker{Socket: filepath.Join(dir, "http"), heard: cfg.Heard, words: &lastWords{}, answers: make(chan Report, 1), done: make(chan struct{})}
	if b.heard == nil {
		b.heard = func(Report) {}
	}
	b.cmd = exec.Command(program, Command, b.Socket)
	b.cmd.Env, b.cmd.Dir, b.cmd.Stderr = cfg.Env, "/", b.words
	b.cmd.SysProcAttr = ownGroup() // Ctrl-C is for who started it
	if err := b.spawn(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the credential broker: %w", err), os.RemoveAll(dir))
	}
	first, err := b.answer(ctx)
	if err == nil && !first.Listening {
		err = errors.New("it does not say that it listens")
	}
	if err != nil {
		_ = b.cmd.Process.Kill()
		<-b.done
		return nil, errors.Join(fmt.Errorf("start the credential broker: %w", err), os.RemoveAll(dir))
	}
	return b, nil
}

func (b *Broker) spawn() (err error) {
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.enc = json.NewEncoder(b.in)
	go func() {
		defer close(b.done)
		b.listen(out)
		err := b.cmd.Wait()
		b.err = errdef.New(errdef.ErrUnavailable, "the credential broker ended (%v)%s", err, b.words)
		_ = os.RemoveAll(filepath.Dir(b.Socket)) // where it was killed
	}()
	return nil
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
	_ = b.in.Close()
	select {
	case <-b.done:
	case <-ctx.Done():
		_ = b.cmd.Process.Kill()
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

// findProgram returns the path of voidbox.
func findProgram(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if filepath.Base(self) == "voidbox" {
		return self, nil
	}
	if beside := filepath.Join(filepath.Dir(self), "voidbox"); isFile(beside) {
		return beside, nil
	}
	path, err := exec.LookPath("voidbox")
	if err != nil {
		return "", errdef.New(errdef.ErrNotFound, "the program voidbox, which holds credentials, is neither beside %s nor in PATH", self).
			WithRemedy("put voidbox where its plugins are")
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lastWords keep the beginning of what a broker says on standard error.
type lastWords struct{ text []byte }

func (w *lastWords) Write(p []byte) (int, error) {
	w.text = append(w.text, p[:min(len(p), 2048-len(w.text))]...)
	return len(p), nil
}

// String must not be called before the process has been waited for.
func (w *lastWords) String() string {
	if len(w.text) == 0 {
		return ""
	}
	return fmt.Sprintf(": %q", w.text)
}
