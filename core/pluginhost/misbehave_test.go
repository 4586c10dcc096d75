package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// The test binary is also every plugin of these tests: executed under the name of one, it behaves as that name says.

func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if plugin, ok := strings.CutPrefix(name, "voidbox-llm-"); ok {
		behave(plugin)
	}
	if name == hostProgram {
		runDoomedHost()
	}
	os.Exit(m.Run())
}

// behaviours say what happens instead of sdk.Serve, or before it, once the plugin is started for real.
var behaviours = map[string]func(p *sdk.Plugin){
	"good":     func(*sdk.Plugin) {},
	"gold":     func(*sdk.Plugin) {},
	"hang":     func(*sdk.Plugin) { hang() },
	"exit":     func(*sdk.Plugin) { fmt.Fprintln(os.Stderr, "cannot go on"); os.Exit(3) },
	"mute":     func(*sdk.Plugin) { os.Stdout.Close(); hang() },
	"chatty":   func(*sdk.Plugin) { fmt.Println("hello from \x1b[31mme") },
	"endless":  func(*sdk.Plugin) { fmt.Print(strings.Repeat("x", 1<<20)); hang() },
	"future":   func(*sdk.Plugin) { fmt.Println("1|99|unix|/nowhere|grpc|"); hang() },
	"netrpc":   func(*sdk.Plugin) { fmt.Println("1|1|unix|/nowhere|netrpc|"); hang() },
	"plain":    func(*sdk.Plugin) { fmt.Printf("1|1|unix|%s/s|grpc|\n", os.Getenv(plugin.EnvUnixSocketDir)); hang() },
	"outside":  func(*sdk.Plugin) { fmt.Println("1|1|unix|/tmp/elsewhere|grpc|"); hang() },
	"impostor": func(*sdk.Plugin) { impostor() },
	"stranger": func(*sdk.Plugin) { stranger() },
	"garbage":  func(*sdk.Plugin) { garbage() },
	"bloated":  func(*sdk.Plugin) { bloated() },
	"stubborn": func(p *sdk.Plugin) { p.Drain = func(context.Context) error { hang(); return nil } },
	"parent":   func(*sdk.Plugin) { startChild("sleeper"); holdAlive() },
	"jailed":   func(p *sdk.Plugin) {},
	"alive":    func(*sdk.Plugin) { holdAlive() },
	"orphan":   func(*sdk.Plugin) { holdAlive(); hang() },
}

func behave(name string) {
	switch name {
	case "sleeper": // a plugin's child
		holdAlive()
		hang()
	case "listener": // the child of an impostor
		listen(os.Args[1])
	}
	p := sdk.Plugin{
		Name: name, Version: "1.2.3", Env: []string{"ALLOWED_BY_DESCRIBE", "SOME_API_KEY"},
		LLM:    echo{},
		Schema: base.Schema{Attributes: []base.Attribute{{Name: "refuse", Type: "string"}}},
		Configure: func(_ context.Context, c base.Config) error {
			var cfg struct{ Refuse string }
			if err := c.Decode(&cfg); err != nil {
				return err
			}
			switch cfg.Refuse {
			case "":
				return nil
			case "hang":
				hang()
			}
			return base.Diagnostics{{Summary: "refused", Detail: cfg.Refuse, Path: []string{"refuse"}}}
		},
	}
	if name == "jailed" {
		p.Namespaces = []string{"user", "pid", "net"}
	}
	if len(os.Args) > 1 && os.Args[1] == "describe" {
		misdescribe(name)
		sdk.Serve(p)
	}
	if do := behaviours[name]; do != nil && os.Getenv(sdk.CookieKey) != "" {
		do(&p)
	}
	sdk.Serve(p)
}

// misdescribe answers "describe" wrongly for some names.
func misdescribe(name string) {
	switch name {
	case "nojson":
		fmt.Println("Usage: nojson [flags]")
	case "flood":
		fmt.Print(strings.Repeat("{", maxDescription+1))
	case "stuck":
		hang()
	case "broken":
		fmt.Fprintln(os.Stderr, "no description today")
		os.Exit(4)
	case "alias":
		fmt.Println(`{"kind": "llm", "name": "other", "version": "1.0.0", "protocol_versions": [1]}`)
	case "ancient":
		fmt.Println(`{"kind": "llm", "name": "ancient", "version": "1.0.0", "protocol_versions": [0]}`)
	default:
		return
	}
	os.Exit(0)
}

// hang blocks for good. Reading a pipe that nobody writes is not what the runtime takes for a deadlock.
func hang() {
	r, _, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	r.Read(make([]byte, 1))
}

// aliveFile is a FIFO beside the plugins. Whoever holds its writing end is alive.
const aliveFile = "alive"

func holdAlive() {
	dir := filepath.Dir(os.Args[0])
	f, err := os.OpenFile(filepath.Join(dir, aliveFile), os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, filepath.Base(os.Args[0]))
	kept = append(kept, f)
}

// kept keeps files from being closed by the collector.
var kept []*os.File

// startChild runs this binary under another name and waits until it says something.
func startChild(name string, args ...string) {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = filepath.Join(filepath.Dir(os.Args[0]), "voidbox-llm-"+name)
	if name == "sleeper" {
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		return
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1))
	}
	if err != nil {
		panic(err)
	}
}

// impostor lets somebody else listen at its socket.
func impostor() {
	socket := filepath.Join(os.Getenv(plugin.EnvUnixSocketDir), "s")
	startChild("listener", socket)
	fmt.Printf("1|1|unix|%s|grpc|\n", socket)
	hang()
}

func listen(socket string) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	for {
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		kept = append(kept, must(conn.(*net.UnixConn).File()))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// stranger is the plugin of some other program.
func stranger() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{MagicCookieKey: "OTHER_COOKIE", MagicCookieValue: "x"},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

// bloated is a plugin without package sdk, and without its limits.
func bloated() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  sdk.Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{1: {"voidbox": bloatedPlugin{}}},
		GRPCServer:       plugin.DefaultGRPCServer,
	})
	os.Exit(0)
}

type bloatedPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (bloatedPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (bloatedPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	base.Register(s, bloatedBase{})
	pluginv1.RegisterLLMServer(s, bloatedLLM{})
	return nil
}

type bloatedBase struct{}

func (bloatedBase) Info() base.Description {
	return base.Description{Kind: base.KindLLM, Name: "bloated", Version: "1.0.0"}
}
func (bloatedBase) Configure(context.Context, base.Config) error { return nil }
func (bloatedBase) Drain(context.Context, time.Duration) error   { return nil }

type bloatedLLM struct {
	pluginv1.UnimplementedLLMServer
}

func (bloatedLLM) DescribeLLM(context.Context, *pluginv1.DescribeLLMRequest) (*pluginv1.DescribeLLMResponse, error) {
	return &pluginv1.DescribeLLMResponse{Dialect: strings.Repeat("y", 100<<20)}, nil
}

// garbage writes to standard error what no log reader expects.
func garbage() {
	w := os.Stderr
	fmt.Fprintln(w, `{"@message": 1}`)
	fmt.Fprintln(w, `{"@message": "half", "@level": {}}`)
	fmt.Fprintln(w, `{"@level": "info", "@message": "whole", "@timestamp": "yesterday", "n": {"a": [1]}}`)
	w.Write([]byte("\xff\xfe\x00\x1b[2Jescape\x07\n"))
	w.Write(append(bytes.Repeat([]byte("long"), 1<<18), '\n'))
	fmt.Fprintln(w, "{{{{")
	w.Write([]byte("\r\n\n\n"))
}

// echo answers according to the last message.
type echo struct{}

func (echo) Describe(context.Context) (llm.Description, error) {
	return llm.Description{Native: true, DefaultModel: "echo"}, nil
}

func (echo) PlanCLI(context.Context, llm.CLIRequest) (llm.CLIPlan, error) {
	panic("boom in a call")
}

func (echo) ParseCLI(context.Context) (llm.Parser, error) { panic("not called") }

func (echo) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	answer := func(text string) (llm.Turn, error) {
		return llm.Turn{Message: llm.Message{Role: llm.Assistant, Parts: []llm.Part{{Text: text}}}, StopReason: llm.EndTurn}, nil
	}
	switch req.System {
	case "env":
		text, err := json.Marshal(os.Environ())
		if err != nil {
			return llm.Turn{}, err
		}
		return answer(string(text))
	case "stream":
		if err := progress(llm.Progress{Delta: &llm.Text{Text: "half an"}}); err != nil {
			return llm.Turn{}, err
		}
		<-ctx.Done()
		return llm.Turn{}, ctx.Err()
	case "die":
		fmt.Fprintln(os.Stderr, "out of tape")
		panic("boom in a turn")
	case "print":
		fmt.Println("a stray print")
		return answer("printed")
	case "netns":
		return answer(must(os.Readlink("/proc/self/ns/net")))
	}
	return answer(req.System)
}
