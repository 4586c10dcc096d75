package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/broker"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

const (
	deltaGoal  = 2 // times a direct client, to the first delta
	brokerGoal = 2 // times what nginx adds
	benchKey   = "bench-key-0815"
)

// model measures the way to a model: the first delta through a provider's plugin beside a plain HTTP client, and what the broker adds to a
// streamed call beside what nginx adds. All of them ask one server, by turns.
func model(ctx context.Context, bin string, rounds int) ([]benchtable.Row, error) {
	url, stop, err := startModel(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	delta, err := firstDelta(ctx, bin, url, rounds)
	if err != nil {
		return nil, err
	}
	added, err := brokerBesideNginx(ctx, bin, url, rounds)
	if err != nil {
		return nil, err
	}
	return []benchtable.Row{delta, added}, nil
}

// startModel starts a model server as a process of its own, as real ones are, and returns its URL.
func startModel(ctx context.Context) (url string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return "", nil, err
	}
	program, rules := filepath.Join(dir, "model-server"), filepath.Join(dir, "rules.json")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./internal/modelserver/model-server").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("%w: %s", err, out)
	}
	text, err := json.Marshal(modelserver.Config{Key: benchKey, Rules: []modelserver.Rule{
		{Match: "(?s).*", Say: strings.Repeat("A sentence of some words. ", 20), Usage: modelserver.Usage{InputTokens: 10, OutputTokens: 100}},
	}})
	if err == nil {
		err = os.WriteFile(rules, text, 0o600)
	}
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, program, "-config", rules)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		os.RemoveAll(dir)
	}
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start the model server: %w", err)
	}
	return strings.TrimSpace(url), stop, nil
}

// caller is a plain client of the Messages API.
type caller struct {
	http  http.Client
	base  string
	token string
}

// over returns a client that speaks to a unix socket.
func over(socket, token string) *caller {
	return &caller{base: "http://model", token: token, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
}

const streamed = `{"model": "m", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": "Say something."}]}`

// ask streams an answer to its end, and says when its first delta was there.
func (c *caller) ask(ctx context.Context) (first time.Duration, err error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/messages", strings.NewReader(streamed))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	req.Header.Set("X-Api-Key", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if first == 0 && strings.HasPrefix(lines.Text(), "event: content_block_delta") {
			first = time.Since(start)
		}
	}
	if lines.Err() == nil && (resp.StatusCode != http.StatusOK || first == 0) {
		return 0, fmt.Errorf("status %d, and no delta", resp.StatusCode)
	}
	return first, lines.Err()
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func firstDelta(ctx context.Context, bin, url string, rounds int) (benchtable.Row, error) {
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: bin})
	if err != nil {
		return benchtable.Row{}, err
	}
	defer host.Close(context.WithoutCancel(ctx))
	plugin, err := host.Start(ctx, pluginhost.Request{
		Kind: base.KindLLM, Name: "claude", Config: fmt.Appendf(nil, `{"base_url": %q, "api_key": %q}`, url, benchKey),
	})
	if err != nil {
		return benchtable.Row{}, err
	}
	request := llm.Request{Conversation: "bench", Model: "m", Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: "Say something."}}}}}
	through := func() (first time.Duration, err error) {
		start := time.Now()
		_, err = plugin.LLM().Complete(ctx, request, func(p llm.Progress) error {
			if p.Delta != nil && first == 0 {
				first = time.Since(start)
			}
			return nil
		})
		return first, err
	}
	direct := &caller{base: url, token: benchKey}
	var ours, peer []float64
	for round := range rounds*5 + 3 {
		a, err := through()
		if err != nil {
			return benchtable.Row{}, err
		}
		b, err := direct.ask(ctx)
		if err != nil {
			return benchtable.Row{}, err
		}
		if round >= 3 {
			ours, peer = append(ours, milliseconds(a)), append(peer, milliseconds(b))
		}
	}
	row := benchtable.Compare("first delta through the plugin", "ms", "a direct HTTP client", ours, peer)
	row.Goal = benchtable.AtMost(deltaGoal)
	return row, nil
}

// brokerBesideNginx measures streamed calls, to their end, straight, through the broker and through nginx.
func brokerBesideNginx(ctx context.Context, bin, url string, rounds int) (benchtable.Row, error) {
	program, err := filepath.Abs(filepath.Join(bin, "voidbox")) // it starts in a directory of its own
	if err != nil {
		return benchtable.Row{}, err
	}
	b, err := broker.Start(ctx, broker.Config{Program: program, Heard: func(broker.Report) {}})
	if err != nil {
		return benchtable.Row{}, err
	}
	defer b.Close(context.WithoutCancel(ctx))
	token := broker.NewToken()
	if err := b.Grant(broker.Grant{Token: token, Upstream: url, Header: "X-Api-Key", Key: benchKey}); err != nil {
		return benchtable.Row{}, err
	}
	proxy, stop, err := startNginx(ctx, url)
	if err != nil {
		return benchtable.Row{}, err
	}
	defer stop()
	ways := []*caller{{base: url, token: benchKey}, over(b.Socket, token), over(proxy, benchKey)}
	times := make([][]float64, len(ways))
	for round := range rounds*5 + 3 {
		for i, way := range ways {
			start := time.Now()
			if _, err := way.ask(ctx); err != nil {
				return benchtable.Row{}, fmt.Errorf("way %d of direct, broker, nginx: %w", i, err)
			}
			if round >= 3 {
				times[i] = append(times[i], milliseconds(time.Since(start)))
			}
		}
	}
	added := func(way []float64) []float64 {
		more := make([]float64, len(way))
		for i := range way {
			more[i] = way[i] - times[0][i] // neighbours in time, so that what else the machine does meets both
		}
		return more
	}
	row := benchtable.Compare("the broker adds to a streamed call", "ms", "nginx adds", added(times[1]), added(times[2]))
	row.Goal = benchtable.AtMost(brokerGoal)
	return row, nil
}

const nginxConfig = `
daemon off;
worker_processes 1;
pid %[1]s/pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  upstream model { server %[2]s; keepalive 16; }
  server {
    listen unix:%[1]s/s;
    location / {
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`

// startNginx starts nginx as a reverse proxy, and returns its socket.
func startNginx(ctx context.Context, url string) (socket string, stop func(), err error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return "", nil, fmt.Errorf("%w; apt-get install nginx-light", err)
		}
	}
	dir, err := os.MkdirTemp("", "nginx") // short: a socket is in it
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, strings.TrimPrefix(url, "http://")), 0o600); err != nil {
		return "", nil, err
	}
	var said strings.Builder
	cmd := exec.CommandContext(ctx, program, "-c", file, "-p", dir)
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	stop = func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		os.RemoveAll(dir)
	}
	socket = filepath.Join(dir, "s")
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			return socket, stop, nil
		}
		select {
		case <-ended:
			stop()
			return "", nil, fmt.Errorf("nginx ended: %s", said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
