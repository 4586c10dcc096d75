//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Addresses of the host: its loopback, which the guests reach at the gateway, and one of an interface.
const (
	gateway    = "10.0.2.2"
	interface0 = "192.0.2.1"
	echoPort   = "7001"
	bulkPort   = "5201"
)

// world is a namespace that plays the host, with servers in it, and those of guests.
type world struct {
	ctx   context.Context
	bin   string
	host  string
	names []string    // namespaces
	procs []*exec.Cmd // in the order of their start
}

func newWorld(ctx context.Context, bin string) (w *world, err error) {
	w = &world{ctx: ctx, bin: bin}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.host, err = w.namespace("host"); err != nil {
		return nil, err
	}
	for _, args := range []string{ // a default route, without which pasta does not start
		"tuntap add dev if0 mode tap", "addr add " + interface0 + "/24 dev if0", "link set if0 up", "route add default via 192.0.2.254",
	} {
		if err := w.ip(w.host, args); err != nil {
			return nil, err
		}
	}
	for _, server := range [][]string{
		{w.program("probe"), "serve", "127.0.0.1:" + echoPort}, {w.program("probe"), "serve", interface0 + ":" + echoPort},
		{"iperf3", "-s", "-B", "127.0.0.1"},
	} {
		if _, err := w.start(w.host, nil, server...); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) program(name string) string { return filepath.Join(w.bin, name) }

// namespace makes one, with loopback up.
func (w *world) namespace(what string) (string, error) {
	name := fmt.Sprintf("vb%d-%s", os.Getpid(), what)
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("namespace %s: %w: %s", name, err, out)
	}
	w.names = append(w.names, name)
	// Thousands of connections a second would use up the ports, and who comes last would be measured looking for one.
	few := w.in(name, "sh", "-c", "echo 256 >/proc/sys/net/ipv4/tcp_max_tw_buckets")
	if out, err := few.CombinedOutput(); err != nil {
		return "", fmt.Errorf("namespace %s: %w: %s", name, err, out)
	}
	return name, w.ip(name, "link set lo up")
}

func (w *world) ip(namespace, args string) error {
	cmd := exec.Command("ip", append([]string{"-n", namespace}, strings.Fields(args)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

// in returns a command in a namespace, which dies with us.
func (w *world) in(namespace string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.ctx, "ip", append([]string{"netns", "exec", namespace}, args...)...) // ip becomes the program
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts a process that runs until stop or close.
func (w *world) start(namespace string, stderr io.Writer, args ...string) (*exec.Cmd, error) {
	cmd := w.in(namespace, args...)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.procs = append(w.procs, cmd)
	return cmd, nil
}

// stop ends what was started last, down to n processes.
func (w *world) stop(n int) {
	for ; len(w.procs) > n; w.procs = w.procs[:len(w.procs)-1] {
		cmd := w.procs[len(w.procs)-1]
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	}
}

func (w *world) close() {
	w.stop(0)
	for _, name := range w.names {
		_ = exec.Command("ip", "netns", "del", name).Run()
	}
}

// guest is a namespace behind a network.
type guest struct {
	name      string // of the network
	namespace string
	pid       int           // of the process to be measured
	ready     time.Duration // from its start
}

var readyLine = regexp.MustCompile(`ready after (\S+), plugin is process (\d+)`)

// ours connects a namespace to a network plugin of ours.
func (w *world) ours(namespace, plugin string, mtu int, services bool) (*guest, error) {
	r, stderr, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	args := []string{w.program("bench-net"), "-bin", w.bin, "-cache", filepath.Join(w.bin, "cache"), "-plugin", plugin, "-netns", namespace, "-mtu", strconv.Itoa(mtu)}
	if services {
		args = append(args, "-allow", interface0+"/32")
		for _, port := range []string{echoPort, bulkPort} {
			args = append(args, "-service", gateway+":"+port+"=127.0.0.1:"+port)
		}
	}
	_, err = w.start(w.host, stderr, args...)
	_ = stderr.Close()
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
			g := &guest{name: plugin, namespace: namespace}
			g.ready, _ = time.ParseDuration(m[1])
			g.pid, _ = strconv.Atoi(m[2])
			go func() { // its last words
				_, _ = io.Copy(io.Discard, r)
				_ = r.Close()
			}()
			return g, nil
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	return nil, errors.New("bench/net did not start")
}

// slirp4netns connects a namespace to slirp4netns.
func (w *world) slirp4netns(namespace string, mtu int) (*guest, error) {
	r, told, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := w.in(w.host, "slirp4netns", "-c", fmt.Sprintf("--mtu=%d", mtu), "--ready-fd=3", "--netns-type=path", "/run/netns/"+namespace, "sl0")
	cmd.ExtraFiles = []*os.File{told}
	begin := time.Now()
	err = cmd.Start()
	_ = told.Close()
	if err != nil {
		return nil, err
	}
	w.procs = append(w.procs, cmd)
	if _, err := r.Read(make([]byte, 1)); err != nil {
		return nil, fmt.Errorf("slirp4netns did not start: %w", err)
	}
	return &guest{name: "slirp4netns", namespace: namespace, pid: cmd.Process.Pid, ready: time.Since(begin)}, nil
}

// pasta connects a namespace to pasta.
func (w *world) pasta(namespace string, mtu int) (*guest, error) {
	cmd, err := w.start(w.host, nil, "pasta", "-f", "-q", "--config-net", "--netns-only", "--netns", "/run/netns/"+namespace, "--runas", "0", "-I", "pa0",
		"-m", strconv.Itoa(mtu), "-4", "-a", "10.0.2.15", "-n", "24", "-g", gateway, "-t", "none", "-u", "none", "-T", "none", "-U", "none")
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); w.ip(namespace, "route get "+gateway) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.New("pasta did not start")
		}
	}
	// Without a long queue its kernel drops what it has no time to take, and uploads collapse.
	return &guest{name: "pasta", namespace: namespace, pid: cmd.Process.Pid}, w.ip(namespace, "link set pa0 txqueuelen 10000")
}
