package pluginhost

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func TestPluginMissing(t *testing.T) {
	house := newHouse(t)
	install(t, house.builtin, "good")
	_, err := house.host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "goood"})
	wantErr(t, err, ReasonNotFound, "there is no voidbox-llm-goood in "+house.builtin+", "+house.third)
	if got := errdef.Remedy(err); got != "did you mean good?" {
		t.Errorf("remedy %q", got)
	}
}

func TestPluginNameWithPath(t *testing.T) {
	_, err := newHouse(t).host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "../../bin/sh"})
	wantErr(t, err, "", "is not the name of a plugin")
}

func TestPluginNotExecutable(t *testing.T) {
	house := newHouse(t)
	path := filepath.Join(house.builtin, "voidbox-llm-good")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := house.host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "good"})
	wantErr(t, err, ReasonNotExecutable, path+" is not an executable file")
	if got := errdef.Remedy(err); !strings.Contains(got, "chmod") {
		t.Errorf("remedy %q", got)
	}
}

func TestPluginForAnotherSystem(t *testing.T) {
	house := newHouse(t)
	path := filepath.Join(house.builtin, "voidbox-llm-good")
	if err := os.WriteFile(path, []byte("\x7fELF of another world"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := house.host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "good"})
	wantErr(t, err, ReasonNotExecutable, "cannot be executed")
}

func TestPluginIsADirectory(t *testing.T) {
	house := newHouse(t)
	if err := os.Mkdir(filepath.Join(house.builtin, "voidbox-llm-good"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := house.host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "good"})
	wantErr(t, err, ReasonNotExecutable, "is not an executable file")
}

// TestStartFails starts plugins that cannot get through their start, each in its own way.
func TestStartFails(t *testing.T) {
	for _, tt := range []struct{ name, reason, text string }{
		{"stranger", "", "died before the handshake (exit status 1); it said: This binary is a plugin."},
		{"exit", "", "died before the handshake (exit status 3); it said: cannot go on"},
		{"future", ReasonProtocol, "speaks version 99 of the plugin protocol, and this voidbox version 1"},
		{"netrpc", ReasonProtocol, `offers "netrpc" over "unix"`},
		{"chatty", ReasonHandshake, "printed \"hello from \ufffd[31mme\" to standard output where the handshake belongs"},
		{"endless", ReasonHandshake, `printed "xxxx`},
		{"outside", ReasonPeer, "outside of its directory"},
		{"impostor", ReasonPeer, "listens at the socket of plugin llm-impostor"},
		{"nojson", ReasonDescribe, `prints "Usage: nojson [flags]", which is no description`},
		{"flood", ReasonDescribe, "with more than 1048576 bytes"},
		{"broken", ReasonDescribe, "died (exit status 4); it said: no description today"},
		{"alias", ReasonDescribe, "says that it is plugin llm-other, not llm-alias"},
		{"ancient", ReasonProtocol, "speaks versions [0] of the plugin protocol"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inst, err := newHouse(t).start(t, tt.name)
			if inst != nil {
				t.Error("it started")
			}
			wantErr(t, err, tt.reason, tt.text)
		})
	}
}

// TestStartHangs holds the start up at each of its steps. The limit is short, but what hangs hangs for good.
func TestStartHangs(t *testing.T) {
	for _, tt := range []struct{ name, config, text string }{
		{"stuck", "", "plugin llm-stuck did not answer describe within"},
		{"hang", "", "plugin llm-hang took longer than"},
		{"mute", "", "plugin llm-mute took longer than"},
		{"good", `{"refuse": "hang"}`, "plugin llm-good took longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			house := newHouse(t)
			install(t, house.builtin, tt.name)
			host := house.host(t, impatient, func(o *Options) { o.Grace = time.Millisecond })
			if tt.name != "stuck" {
				// Describe has a limit of its own that must not be the one that is hit here.
				host.described[idOf(t, filepath.Join(house.builtin, "voidbox-llm-"+tt.name))] = base.Description{
					Kind: base.KindLLM, Name: tt.name, Version: "1.2.3", ProtocolVersions: []int{1},
				}
			}
			_, err := host.Start(t.Context(), Request{Kind: base.KindLLM, Name: tt.name, Config: []byte(tt.config)})
			wantErr(t, err, ReasonTimeout, tt.text)
		})
	}
}

func idOf(t *testing.T, path string) fileID {
	t.Helper()
	f, id, err := candidate{Path: path}.open()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return id
}

func TestStartIsCancelled(t *testing.T) {
	house := newHouse(t)
	alive := house.fifo(t)
	install(t, house.builtin, "orphan")
	ctx, cancel := context.WithCancel(t.Context())
	host := house.host(t)
	result := make(chan error, 1)
	go func() {
		_, err := host.Start(ctx, Request{Kind: base.KindLLM, Name: "orphan"})
		result <- err
	}()
	alive.wait(t, "voidbox-llm-orphan")
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	alive.waitAllDead(t)
}

func TestGarbageOnStderr(t *testing.T) {
	house := newHouse(t)
	inst, err := house.start(t, "garbage")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t.Context(), inst, "alive"); got != "alive" || err != nil {
		t.Fatalf("answer %q, %v", got, err)
	}
	inst.Close(t.Context())
	for _, want := range []string{`{"@message": 1}`, "\ufffd\ufffd\ufffd\ufffd[2Jescape\ufffd", "{{{{", "whole"} {
		if _, ok := house.log.find(want); !ok {
			t.Errorf("the log lacks %q", want)
		}
	}
	long, ok := house.log.find("longlong")
	if !ok || len(long.Message) > maxLogLine {
		t.Errorf("a line of 1 MiB left %d bytes", len(long.Message))
	}
}

func TestDeathInMidStream(t *testing.T) {
	house := newHouse(t)
	inst, err := house.start(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	var heard string
	_, err = inst.LLM().Complete(t.Context(), request("stream"), func(p llm.Progress) error {
		heard += p.Delta.Text
		_, err := ask(t.Context(), inst, "die")
		wantErr(t, err, "", "it said: panic: boom in a turn")
		return nil
	})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Status != "exit status 2" || !errors.Is(err, errdef.ErrUnavailable) {
		t.Fatalf("error %v", err)
	}
	if heard != "half an" {
		t.Errorf("heard %q", heard)
	}
	<-inst.Exited()
	if got := inst.Err(); !errors.As(got, &exit) {
		t.Errorf("the instance says %v", got)
	}
	_, err = ask(t.Context(), inst, "anybody?")
	wantErr(t, err, "", "plugin llm-good died (exit status 2)")
}

func TestDeathInCall(t *testing.T) {
	inst, err := newHouse(t).start(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	_, err = inst.LLM().PlanCLI(t.Context(), llm.CLIRequest{Prompt: "x"})
	wantErr(t, err, "", "it said: panic: boom in a call")
}

func TestMessageOf100MiB(t *testing.T) {
	inst, err := newHouse(t).start(t, "bloated")
	if err != nil {
		t.Fatal(err)
	}
	_, err = inst.LLM().Describe(t.Context())
	wantErr(t, err, ReasonMessage, "a message between voidbox and plugin llm-bloated is longer than the 32 MiB that are allowed")
	if !errors.Is(err, errdef.ErrExhausted) {
		t.Errorf("error %v", err)
	}
	if err := inst.Ping(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestStubbornPluginIsKilled(t *testing.T) {
	inst, err := newHouse(t).start(t, "stubborn", func(o *Options) { o.Grace = 50 * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	if err := inst.Close(t.Context()); err != nil {
		t.Error(err)
	}
	<-inst.Exited()
}

func TestChildrenDieWithTheirPlugin(t *testing.T) {
	for _, how := range []string{"close", "crash"} {
		t.Run(how, func(t *testing.T) {
			house := newHouse(t)
			alive := house.fifo(t)
			install(t, house.builtin, "sleeper")
			inst, err := house.start(t, "parent")
			if err != nil {
				t.Fatal(err)
			}
			alive.wait(t, "voidbox-llm-parent", "voidbox-llm-sleeper")
			if how == "close" {
				inst.Close(t.Context())
			} else if _, err := ask(t.Context(), inst, "die"); err != nil {
				wantErr(t, err, "", "panic")
			}
			alive.waitAllDead(t)
		})
	}
}

// fifo is where processes say that they live. Its reader sees end of file when the last of them is dead.
type fifo struct {
	f  *os.File
	in *bufio.Reader
}

// patience is a safety net for what must happen and is waited for.
const patience = time.Minute

func (h *house) fifo(t *testing.T) *fifo {
	t.Helper()
	path := filepath.Join(h.builtin, aliveFile)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open does not wait for a writer this way, and reads wait in the poller.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return &fifo{f: f, in: bufio.NewReader(f)}
}

// wait waits until every one of the processes lives.
func (f *fifo) wait(t *testing.T, names ...string) {
	t.Helper()
	f.f.SetReadDeadline(time.Now().Add(patience))
	missing := map[string]int{}
	for _, name := range names {
		missing[name]++
	}
	for len(missing) > 0 {
		line, err := f.in.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%v never lived", missing)
		}
		// Without a writer yet there is end of file at once.
		name := strings.TrimSpace(line)
		if missing[name]--; missing[name] <= 0 {
			delete(missing, name)
		}
	}
}

// waitAllDead waits until none of them lives.
func (f *fifo) waitAllDead(t *testing.T) {
	t.Helper()
	f.f.SetReadDeadline(time.Now().Add(patience))
	if _, err := f.in.ReadString('\n'); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("a process is left")
	}
}
