package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	copyGoal  = 0.6 // of the throughput of a bare vsock connection
	copyFloor = 0.35
	copyBytes = 64 << 20
	rawPort   = 9001
	rawGuest  = "/tmp/bench-vsock-guest" // built from bench/kvm/guest
)

// namedVM is a VM as `voidbox sandbox create` makes it, with a home of its own.
type namedVM struct {
	ctx      context.Context
	bin, dir string
	env      []string
	box      *shim.Sandbox
	client   *shim.Client
}

const vmName = "bench"

func startVM(ctx context.Context, bin string) (*namedVM, error) {
	dir, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return nil, err
	}
	v := &namedVM{ctx: ctx, bin: bin, dir: dir, env: append(os.Environ(), "XDG_STATE_HOME="+dir, "XDG_RUNTIME_DIR="+dir)}
	if err := v.start(); err != nil {
		v.stop()
		return nil, err
	}
	return v, nil
}

func (v *namedVM) start() error {
	if err := v.command("sandbox", "create", vmName, "--memory", "1GiB"); err != nil {
		return err
	}
	store, err := shim.OpenStore(filepath.Join(v.dir, "voidbox", "sandboxes"))
	if err != nil {
		return err
	}
	if v.box, err = store.Get(vmName); err != nil {
		return err
	}
	v.client, err = v.box.Connect()
	return err
}

func (v *namedVM) stop() {
	if v.client != nil {
		v.client.Close()
	}
	v.ctx = context.WithoutCancel(v.ctx)
	_ = v.command("sandbox", "remove", "--force", vmName) // it may not be there
	os.RemoveAll(v.dir)
}

func (v *namedVM) command(args ...string) error {
	cmd := exec.CommandContext(v.ctx, filepath.Join(v.bin, "voidbox"), args...)
	cmd.Env = v.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("voidbox %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// inVM measures what users do with a named VM: exec, beside a call that runs nothing, and cp, beside a bare vsock connection.
func inVM(ctx context.Context, bin string, rounds int) ([]benchtable.Row, error) {
	v, err := startVM(ctx, bin)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	one, err := alternate(rounds, v.execTrue, func() error { _, err := v.client.Info(ctx); return err })
	if err != nil {
		return nil, err
	}
	rows := []benchtable.Row{benchtable.Compare("exec of /bin/true in a VM, p50", "ms", "a call that runs nothing", one.ours, one.peer)}
	copies, err := v.copies(max(rounds/20, 3))
	return append(rows, copies...), err
}

func (v *namedVM) execTrue() error {
	exit, err := v.client.Exec(v.ctx, sandbox.Command{Args: []string{"/bin/true"}}, sandbox.IO{})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("/bin/true ended with %d", exit.Code)
	}
	return err
}

// copies measures `voidbox cp` of one file, in and out.
func (v *namedVM) copies(rounds int) ([]benchtable.Row, error) {
	file := filepath.Join(v.dir, "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("sixteen bytes..\n"), copyBytes/16), 0o600); err != nil {
		return nil, err
	}
	raw, err := v.rawVsock()
	if err != nil {
		return nil, err
	}
	defer raw.close()
	var rows []benchtable.Row
	for _, way := range []struct {
		name, mode string
		args       []string
	}{
		{"cp of 64 MiB into a VM", "receive", []string{"cp", file, vmName + ":/tmp/copy"}},
		{"cp of 64 MiB out of a VM", "send", []string{"cp", vmName + ":/tmp/copy", file}},
	} {
		s, err := alternate(rounds, func() error { return v.command(way.args...) }, func() error { return raw.run(way.mode) })
		if err != nil {
			return nil, err
		}
		row := benchtable.Compare(way.name, "MB/s", "bare vsock", megabytes(s.ours), megabytes(s.peer))
		row.Goal, row.Floor = benchtable.AtLeast(copyGoal), benchtable.AtLeast(copyFloor)
		rows = append(rows, row)
	}
	return rows, nil
}

func megabytes(ms []float64) []float64 {
	rates := make([]float64, len(ms))
	for i, d := range ms {
		rates[i] = copyBytes / 1e6 / (d / 1e3)
	}
	return rates
}

// rawVsock is a bare connection of the guest's to this side.
type rawVsock struct {
	vm       *namedVM
	listener net.Listener
	mode     chan string
	serving  sync.WaitGroup
}

func (v *namedVM) rawVsock() (*rawVsock, error) {
	program := filepath.Join(v.dir, "guest")
	build := exec.CommandContext(v.ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./bench/kvm/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest's half: %w\n%s", err, out)
	}
	if err := v.command("cp", program, vmName+":"+rawGuest); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", fmt.Sprintf("%s_%d", v.box.Instance.AgentSocket, rawPort))
	if err != nil {
		return nil, err
	}
	r := &rawVsock{vm: v, listener: listener, mode: make(chan string, 1)}
	r.serving.Go(r.serve)
	return r, nil
}

func (r *rawVsock) close() {
	_ = r.listener.Close()
	r.serving.Wait()
}

func (r *rawVsock) run(mode string) error {
	r.mode <- mode
	var stderr bytes.Buffer
	exit, err := r.vm.client.Exec(r.vm.ctx, sandbox.Command{Args: []string{rawGuest, mode, strconv.Itoa(rawPort), strconv.Itoa(copyBytes)}}, sandbox.IO{Stderr: &stderr})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%s in the guest: status %d: %s", mode, exit.Code, stderr.String())
	}
	return err
}

func (r *rawVsock) serve() {
	chunk := make([]byte, 256<<10)
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		if <-r.mode == "send" {
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(conn, copyBytes), chunk); err == nil {
				_, _ = conn.Write([]byte{1})
			}
		} else {
			for sent := 0; err == nil && sent < copyBytes; sent += len(chunk) {
				_, err = conn.Write(chunk)
			}
			_, _ = conn.Read(chunk[:1]) // the guest's end
		}
		_ = conn.Close()
	}
}
