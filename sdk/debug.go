package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// Reattach says where a plugin can be reached that was started by hand. EnvReattach holds a JSON object of them, by kind and
// name: {"llm-echo": {...}}.
type Reattach struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            ReattachAddr
}

// ReattachAddr is the address of its socket.
type ReattachAddr struct{ Network, String string }

// serveDebug serves p to whoever reattaches, until it is interrupted. One process may see many hosts, so it may be configured
// again and ignores a drain.
func serveDebug(p Plugin, stdout io.Writer, stderr *os.File) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "voidbox-debug-")
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv(plugin.EnvUnixSocketDir, dir)
	slog.SetDefault(slog.New(newLogHandler(stderr, "debug")))

	inst := newInstance(p)
	inst.reconfigurable = true
	attach, done := make(chan *plugin.ReattachConfig, 1), make(chan struct{})
	go plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{base.ProtocolVersion: {PluginSetName: served{inst: inst}}},
		GRPCServer:       func(opts []grpc.ServerOption) *grpc.Server { return inst.newServer(opts) },
		Test:             &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: attach, CloseCh: done},
	})
	select {
	case cfg := <-attach:
		if err := printReattach(stdout, inst, cfg); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
	case <-done:
		return 1
	}
	<-done
	return 0
}

func printReattach(w io.Writer, inst *instance, cfg *plugin.ReattachConfig) error {
	desc := inst.Info()
	text, err := json.Marshal(map[string]Reattach{
		string(desc.Kind) + "-" + desc.Name: {
			Protocol:        string(cfg.Protocol),
			ProtocolVersion: cfg.ProtocolVersion,
			Pid:             cfg.Pid,
			Test:            cfg.Test,
			Addr:            ReattachAddr{Network: cfg.Addr.Network(), String: cfg.Addr.String()},
		},
	})
	if err != nil {
		return fmt.Errorf("encode reattach: %w", err)
	}
	_, err = fmt.Fprintf(w, "Plugin started. In the shell where voidbox will run:\n\n  export %s='%s'\n\n", EnvReattach, text)
	return err
}
