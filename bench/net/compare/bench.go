//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

type bench struct {
	*world
	rounds  int
	seconds float64
	rows    []benchtable.Row
}

const mtu, largeMTU = 1500, 65520

func (b *bench) all() ([]benchtable.Row, error) {
	for _, part := range []func() error{b.small, b.large, b.bridge, b.starts, b.size} {
		n := len(b.procs)
		err := part()
		b.stop(n)
		if err != nil {
			return b.rows, err
		}
	}
	return b.rows, nil
}

// guests makes a namespace behind each network. Ours is the first.
func (b *bench) guests(what string, mtu int) ([]*guest, error) {
	var all []*guest
	for _, start := range []func(namespace string) (*guest, error){
		func(n string) (*guest, error) { return b.ours(n, "slirp", mtu, true) },
		func(n string) (*guest, error) { return b.slirp4netns(n, mtu) },
		func(n string) (*guest, error) { return b.pasta(n, mtu) },
	} {
		namespace, err := b.namespace(fmt.Sprintf("%s%d", what, len(all)))
		if err != nil {
			return nil, err
		}
		g, err := start(namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// series measures each guest once a round.
func (b *bench) series(guests []*guest, measure func(g *guest) (float64, error)) (map[string][]float64, error) {
	out := make(map[string][]float64)
	for range b.rounds {
		for _, g := range guests {
			v, err := measure(g)
			if b.ctx.Err() != nil {
				return nil, b.ctx.Err()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", g.name, err)
			}
			out[g.name] = append(out[g.name], v)
		}
	}
	return out, nil
}

// add compares ours with one of the peers, or with the better one for "best".
func (b *bench) add(name, unit, peer string, s map[string][]float64, goal, floor string) {
	if peer == "best" {
		peer = "pasta"
		if benchtable.Median(s["slirp4netns"]) > benchtable.Median(s[peer]) {
			peer = "slirp4netns"
		}
	}
	row := benchtable.Compare(name, unit, peer, s["slirp"], s[peer])
	row.Goal, row.Floor = goal, floor
	b.rows = append(b.rows, row)
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, s)
}

// small measures at the usual MTU.
func (b *bench) small() error {
	guests, err := b.guests("g", mtu)
	if err != nil {
		return err
	}
	atMost, atLeast := benchtable.AtMost, benchtable.AtLeast
	for _, m := range []struct {
		name, unit, peer, goal, floor string
		measure                       func(g *guest) (float64, error)
	}{
		{"guest to host, MTU 1500", "Gbit/s", "best", atLeast(1.2), atLeast(1), b.iperf()},
		{"host to guest, MTU 1500", "Gbit/s", "best", atLeast(3), atLeast(2), b.iperf("-R")},
		{"round trip of one byte", "us", "slirp4netns", atMost(1.3), atMost(1.7), b.probe(`p50 ([\d.]+)`, gateway, "trip")},
		{"connect, request, close", "us", "pasta", atMost(1), atMost(1.5), b.probe(`p50 ([\d.]+)`, gateway, "connect")},
		{"connections a second, 8 clients", "1/s", "pasta", atLeast(1), atLeast(0.6), b.probe(`: (\d+) connections`, gateway, "clients")},
		{"datagrams of 64 bytes there and back", "1/s", "slirp4netns", atLeast(1), "", b.probe(`: (\d+) a second`, interface0, "datagrams")},
		{"datagrams of 1400 bytes there and back", "1/s", "slirp4netns", atLeast(1), "", b.probe(`: (\d+) a second`, interface0, "datagrams", "-size", "1400")},
	} {
		s, err := b.series(guests, m.measure)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		b.add(m.name, m.unit, m.peer, s, m.goal, m.floor)
	}
	return nil
}

// large measures what one frame of 64 KiB is worth.
func (b *bench) large() error {
	guests, err := b.guests("l", largeMTU)
	if err != nil {
		return err
	}
	for name, args := range map[string][]string{"guest to host, MTU 65520": nil, "host to guest, MTU 65520": {"-R"}} {
		s, err := b.series([]*guest{guests[0], guests[2]}, b.iperf(args...))
		if err != nil {
			return err
		}
		b.add(name, "Gbit/s", "pasta", s, benchtable.AtLeast(1), benchtable.AtLeast(0.6))
	}
	return nil
}

// bridge measures what bench/net costs, which stands in for the VM's device: a path through it, a link and net-tap, which moves frames
// as it does, has two such movers, and a pair of veth devices none.
func (b *bench) bridge() error {
	near, err := b.namespace("near")
	if err != nil {
		return err
	}
	if _, err := b.ours(near, "tap", mtu, false); err != nil {
		return err
	}
	if err := errors.Join(b.ip(b.host, "link add v0 type veth peer name v1 netns "+near), b.ip(b.host, "addr add 198.51.100.1/24 dev v0"),
		b.ip(b.host, "link set v0 up"), b.ip(near, "addr add 198.51.100.2/24 dev v1"), b.ip(near, "link set v1 up")); err != nil {
		return err
	}
	for _, at := range []string{gateway, "198.51.100.1"} {
		if _, err := b.start(b.host, nil, b.program("probe"), "serve", at+":"+echoPort); err != nil {
			return err
		}
	}
	const two, none = "two movers", "veth"
	s, err := b.series([]*guest{{name: two, namespace: near}, {name: none, namespace: near}}, func(g *guest) (float64, error) {
		at := gateway
		if g.name == none {
			at = "198.51.100.1"
		}
		return b.probe(`p50 ([\d.]+)`, at, "trip")(g)
	})
	if err != nil {
		return err
	}
	cost := (benchtable.Median(s[two]) - benchtable.Median(s[none])) / 2
	for _, row := range b.rows {
		if row.Name != "round trip of one byte" {
			continue
		}
		row.Name = fmt.Sprintf("the same, less the bench's bridge (%.1f us)", cost)
		row.Ours -= cost
		row.Ratio, row.Floor, row.Goal = row.Ours/row.Peer, "", ""
		b.rows = append(b.rows, row)
	}
	return nil
}

// starts measures how long networks take to be ready.
func (b *bench) starts() error {
	namespace, err := b.namespace("start")
	if err != nil {
		return err
	}
	s, err := b.series([]*guest{{name: "slirp"}, {name: "slirp4netns"}}, func(g *guest) (float64, error) {
		defer b.stop(len(b.procs))
		start := func() (*guest, error) { return b.ours(namespace, "slirp", mtu, true) }
		if g.name == "slirp4netns" {
			start = func() (*guest, error) { return b.slirp4netns(namespace, mtu) }
		}
		started, err := start()
		if err != nil {
			return 0, err
		}
		return float64(started.ready) / float64(time.Millisecond), nil
	})
	if err != nil {
		return err
	}
	b.add("start to ready", "ms", "slirp4netns", s, benchtable.AtMost(2), "")
	return nil
}

// size measures memory and the binary, against fixed limits.
func (b *bench) size() error {
	namespace, err := b.namespace("size")
	if err != nil {
		return err
	}
	g, err := b.ours(namespace, "slirp", mtu, true)
	if err != nil {
		return err
	}
	info, err := os.Stat(b.program("voidbox-network-slirp"))
	if err != nil {
		return err
	}
	before, err := private(g.pid)
	if err != nil {
		return err
	}
	const connections = 5000
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := b.in(namespace, "prlimit", "-n20000", b.program("probe"), "idle", "-n", strconv.Itoa(connections), gateway+":"+echoPort)
	cmd.Stdout = w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return err
	}
	b.procs = append(b.procs, cmd)
	if _, err := r.Read(make([]byte, 1)); err != nil { // it says that they are open
		return fmt.Errorf("idle connections: %w", err)
	}
	after, err := private(g.pid)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	b.limit("private memory at idle", "MiB", before/mib, 8, "")
	b.limit("binary", "MiB", float64(info.Size())/mib, 18, "")
	b.limit("idle connection", "KiB", (after-before)/connections/1024, 16, benchtable.AtMost(2))
	return nil
}

func (b *bench) limit(name, unit string, ours, limit float64, floor string) {
	row := benchtable.Compare(name, unit, "limit", []float64{ours}, []float64{limit})
	row.Goal, row.Floor = benchtable.AtMost(1), floor
	b.rows = append(b.rows, row)
}

// private returns what a process has written to, which is nobody else's; what it runs is the file's.
func private(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "Private_Dirty: %g", &kib); n == 1 {
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("process %d has no memory of its own", pid)
}

// probe returns a measurement by bench/net/probe, whose output the pattern finds it in.
func (b *bench) probe(pattern, address, command string, args ...string) func(g *guest) (float64, error) {
	find := regexp.MustCompile(pattern)
	return func(g *guest) (float64, error) {
		all := append([]string{b.program("probe"), command, "-seconds", fmt.Sprint(b.seconds)}, args...)
		out, err := b.in(g.namespace, append(all, address+":"+echoPort)...).CombinedOutput()
		m := find.FindSubmatch(out)
		if err != nil || m == nil {
			return 0, fmt.Errorf("probe %s: %w: %s", command, err, bytes.TrimSpace(out))
		}
		return strconv.ParseFloat(string(m[1]), 64)
	}
}

// iperf returns a measurement by iperf3, whose server takes a while to be ready for the next one.
func (b *bench) iperf(args ...string) func(g *guest) (float64, error) {
	return func(g *guest) (rate float64, err error) {
		for range 10 {
			if rate, err = b.iperfOnce(g, args); err == nil || b.ctx.Err() != nil {
				return rate, err
			}
			time.Sleep(300 * time.Millisecond)
		}
		return 0, err
	}
}

func (b *bench) iperfOnce(g *guest, args []string) (float64, error) {
	all := append([]string{"iperf3", "-J", "-c", gateway, "-t", fmt.Sprint(max(1, int(b.seconds)))}, args...)
	out, err := b.in(g.namespace, all...).Output()
	var result struct {
		Error string
		End   struct {
			Sum struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if jerr := json.Unmarshal(out, &result); err != nil || jerr != nil || result.Error != "" {
		return 0, errors.Join(fmt.Errorf("iperf3: %s", result.Error), err, jerr)
	}
	return result.End.Sum.Bits / 1e9, nil
}
