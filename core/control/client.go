package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxAnswer bounds what a run may answer.
const maxAnswer = 4 << 20

// Client speaks to a run.
type Client struct {
	runDir string
	http   http.Client
}

// Open finds the run of a run directory. It connects to nothing yet.
func Open(runDir string) (*Client, error) {
	socket, err := os.Readlink(filepath.Join(runDir, linkName))
	if err != nil {
		if _, statErr := os.Stat(runDir); errors.Is(statErr, fs.ErrNotExist) {
			return nil, errdef.New(errdef.ErrNotFound, "there is no run %s", runDir).WithRemedy("`voidbox ps` lists those that live")
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, over(runDir)
		}
		return nil, fmt.Errorf("find the socket of the run: %w", err)
	}
	c := &Client{runDir: runDir}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	return c, nil
}

func over(runDir string) error {
	return errdef.New(errdef.ErrState, "the run %s is over", filepath.Base(runDir)).WithRemedy("`voidbox ps` lists those that live")
}

// Close ends the client's connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Info says what the run is.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	return info, c.call(ctx, http.MethodGet, "/run", nil, &info)
}

// Explain says what the run's networks would do with a flow.
func (c *Client) Explain(ctx context.Context, f Flow) ([]Verdict, error) {
	query := url.Values{"protocol": {f.Protocol}, "host": {f.Host}, "port": {strconv.Itoa(int(f.Port))}}
	if f.Stage != "" {
		query.Set("stage", f.Stage)
	}
	var verdicts []Verdict
	return verdicts, c.call(ctx, http.MethodGet, "/explain?"+query.Encode(), nil, &verdicts)
}

// Publish makes a port of a guest one of the host.
func (c *Client) Publish(ctx context.Context, p Publish) (Published, error) {
	var where Published
	return where, c.call(ctx, http.MethodPost, "/publish", p, &where)
}

// Unpublish undoes Publish.
func (c *Client) Unpublish(ctx context.Context, u Unpublish) error {
	return c.call(ctx, http.MethodPost, "/unpublish", u, nil)
}

// Cancel ends the run as Ctrl-C does.
func (c *Client) Cancel(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/cancel", nil, nil)
}

func (c *Client) call(ctx context.Context, method, target string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://run"+target, &body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
		return over(c.runDir)
	case err != nil:
		return fmt.Errorf("speak to the run: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("speak to the run: %w", err)
	case resp.StatusCode != http.StatusOK:
		return failure(resp.StatusCode, answer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return errdef.New(errdef.ErrDataLoss, "the run's answer makes no sense: %w", err)
	}
	return nil
}
