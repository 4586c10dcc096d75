package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/internal/lategc"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// DefaultGrace bounds a drain that was not asked for over gRPC.
const DefaultGrace = 5 * time.Second

// Serve runs p and ends the process. It is the whole main function of a plugin.
//
// Nothing may be printed to standard output before Serve, not even by an init function: the host reads the handshake there.
// Serve moves standard output to standard error, where everything is a log line.
func Serve(p Plugin) {
	lategc.Delay(lategc.Until)
	os.Exit(run(p, os.Args, os.Stdout, os.Stderr))
}

// run picks what the command line asks for and returns the exit status.
func run(p Plugin, args []string, stdout io.Writer, stderr *os.File) int {
	desc, err := p.Describe()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	switch {
	case len(args) > 1 && args[1] == "describe":
		return describe(desc, stdout, stderr)
	case len(args) > 1 && args[1] == "--version":
		fmt.Fprintln(stdout, filepath.Base(args[0]), desc.Version)
		return 0
	case len(args) > 1 && args[1] == "debug":
		return serveDebug(p, stdout, stderr)
	case os.Getenv(CookieKey) != CookieValue:
		fmt.Fprint(stderr, byHand(desc, args[0]))
		return 1
	}
	return serve(p, stderr)
}

func describe(desc base.Description, stdout io.Writer, stderr *os.File) int {
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(desc); err != nil {
		fmt.Fprintln(stderr, "describe:", err)
		return 1
	}
	return 0
}

// byHand is for a person who runs the program from a shell.
func byHand(desc base.Description, program string) string {
	name := filepath.Base(program)
	return fmt.Sprintf(`%s is a plugin for voidbox (%s %q, version %s); voidbox starts it when a file names it.
To install it, put the file beside the voidbox program or into a directory of $VOIDBOX_PLUGIN_PATH.

  %s describe   prints what it is, as JSON
  %s debug      serves it for a voidbox that runs elsewhere, so that a debugger can be attached
`, name, desc.Kind, desc.Name, desc.Version, name, name)
}

func serve(p Plugin, stderr *os.File) int {
	slog.SetDefault(slog.New(newLogHandler(stderr, os.Getenv(EnvLogLevel))))
	handshake, err := divertStdout()
	if err != nil {
		fmt.Fprintln(stderr, "move standard output:", err)
		return 1
	}
	// go-plugin prints the handshake line to os.Stdout, and then replaces the variable.
	os.Stdout = handshake
	if err := watchLifeline(os.Getenv(EnvLifeline), os.Getenv(EnvRuntimeDir)); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}

	// go-plugin swallows SIGINT too, but only some time after the host has read the handshake.
	signal.Ignore(os.Interrupt)

	inst := newInstance(p)
	var server atomic.Pointer[grpc.Server]
	stopOnSIGTERM(inst, &server)

	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{base.ProtocolVersion: {PluginSetName: served{inst: inst}}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			s := inst.newServer(opts)
			server.Store(s)
			return s
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr, JSONFormat: true}),
	})
	// A host may end the server without asking for a drain first.
	if err := inst.Drain(context.Background(), DefaultGrace); err != nil {
		slog.Warn("drain", "error", err)
	}
	return 0
}

// stopOnSIGTERM drains and stops the server. Its goroutine lives as long as the process.
func stopOnSIGTERM(inst *instance, server *atomic.Pointer[grpc.Server]) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		if err := inst.Drain(context.Background(), DefaultGrace); err != nil {
			slog.Warn("drain", "error", err)
		}
		s := server.Load()
		if s == nil {
			os.Exit(0)
		}
		s.Stop()
	}()
}

// served registers an instance with go-plugin. Nobody dispenses it: the host builds its clients over the connection.
type served struct {
	plugin.NetRPCUnsupportedPlugin
	inst *instance
}

func (s served) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	return s.inst.register(server)
}

func (served) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
