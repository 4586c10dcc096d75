// Package startbench measures what the plugin host costs: from nothing to the answer of a plugin's first call, beside the same
// binary under go-plugin's own launcher. The two take turns, so that whatever else the machine does meets both.
package startbench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// warmup is the number of rounds that do not count: page cache, description, sealed copy.
const warmup = 3

// goal is what a start may cost beside go-plugin's own.
const goal = 1.2

// Run measures an LLM plugin's binary, named voidbox-llm-<name>, in so many rounds.
func Run(ctx context.Context, binary string, rounds int) ([]benchtable.Row, error) {
	dir, file := filepath.Split(binary)
	name, ok := strings.CutPrefix(file, "voidbox-llm-")
	if !ok {
		return nil, fmt.Errorf("%s is not the binary of an LLM plugin", binary)
	}
	b := &bench{binary: binary, name: name}
	own, err := b.host(pluginhost.Options{BuiltinDir: filepath.Clean(dir)})
	if err != nil {
		return nil, err
	}
	defer own.Close(context.WithoutCancel(ctx))
	empty, err := os.MkdirTemp("", "startbench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(empty)
	third, err := b.host(pluginhost.Options{BuiltinDir: empty, Dirs: []string{filepath.Clean(dir)}})
	if err != nil {
		return nil, err
	}
	defer third.Close(context.WithoutCancel(ctx))

	plain, err := b.compare(ctx, "plugin start to first call", "go-plugin", rounds,
		func(ctx context.Context) (time.Duration, error) { return b.ours(ctx, own) },
		func(ctx context.Context) (time.Duration, error) { return b.goPlugin(ctx, false) })
	if err != nil {
		return nil, err
	}
	plain.Goal = benchtable.AtMost(goal)
	secure, err := b.compare(ctx, "plugin start to first call, pinned, TLS", "go-plugin, pinned, TLS", rounds,
		func(ctx context.Context) (time.Duration, error) { return b.ours(ctx, third) },
		func(ctx context.Context) (time.Duration, error) { return b.goPlugin(ctx, true) })
	if err != nil {
		return nil, err
	}
	secure.Goal = benchtable.AtMost(goal)
	return []benchtable.Row{plain, secure}, nil
}

type bench struct{ binary, name string }

func (b *bench) host(opt pluginhost.Options) (*pluginhost.Host, error) {
	opt.Logger = slog.New(slog.DiscardHandler)
	return pluginhost.New(opt)
}

// compare lets two launchers take turns, and each begin every other round.
func (b *bench) compare(ctx context.Context, name, peerName string, rounds int, launchers ...func(context.Context) (time.Duration, error)) (benchtable.Row, error) {
	times := make([][]float64, len(launchers))
	for round := range warmup + rounds {
		for turn := range launchers {
			which := (turn + round) % len(launchers)
			took, err := launchers[which](ctx)
			if err != nil {
				return benchtable.Row{}, fmt.Errorf("%s: %w", name, err)
			}
			if round >= warmup {
				times[which] = append(times[which], float64(took.Microseconds())/1000)
			}
		}
	}
	return benchtable.Compare(name, "ms", peerName, times[0], times[1]), nil
}

// ours starts the plugin under the host. Configuring it, a second call, is included.
func (b *bench) ours(ctx context.Context, host *pluginhost.Host) (time.Duration, error) {
	start := time.Now()
	inst, err := host.Start(ctx, pluginhost.Request{Kind: base.KindLLM, Name: b.name})
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	return took, inst.Close(ctx)
}

// goPlugin starts it under go-plugin's own launcher.
func (b *bench) goPlugin(ctx context.Context, secure bool) (time.Duration, error) {
	start := time.Now()
	cfg := &plugin.ClientConfig{
		HandshakeConfig:  sdk.Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{base.ProtocolVersion: {}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Cmd:              exec.Command(b.binary),
		Logger:           hclog.NewNullLogger(),
	}
	if secure {
		// go-plugin checks a hash that its caller has got from somewhere; here the caller has it from the file.
		sum, err := hashFile(b.binary)
		if err != nil {
			return 0, err
		}
		start = time.Now()
		cfg.AutoMTLS = true
		cfg.SecureConfig = &plugin.SecureConfig{Checksum: sum, Hash: sha256.New()}
	}
	client := plugin.NewClient(cfg)
	defer client.Kill()
	rpc, err := client.Client()
	if err != nil {
		return 0, err
	}
	if _, err := base.NewClient(rpc.(*plugin.GRPCClient).Conn).Info(ctx); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

func hashFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}
