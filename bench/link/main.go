//go:build linux

// Command link measures the shared-memory ring between two processes, beside a unix seqpacket socket that carries the
// same records between two processes, and beside copying them in one. Rounds of the sides alternate.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

// Bytes of the records: the smallest frame, a full frame, a segment for offload.
var sizes = []int{64, 1500, 64 << 10}

func main() {
	rounds := flag.Int("rounds", 21, "measurements of each side")
	out := flag.String("out", "bench/link.json", "file that the table goes into")
	child := flag.String("child", "", "be the other process of this kind (used by the command itself)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return run(ctx, *rounds, *out) }
	if *child != "" {
		run = func() error { return serve(ctx, *child) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, out string) error {
	var rows []benchtable.Row
	for _, size := range sizes {
		more, err := records(ctx, rounds, size)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	wake, err := wakeUps(ctx, rounds)
	if err != nil {
		return err
	}
	return benchtable.Write(out, append(rows, wake))
}

// side carries records to another process.
type side interface {
	// send sends n records of b's size and returns when the other process has copied all of them out.
	send(b []byte, n int) error
	// echo sends one record and returns when it has come back.
	echo(b []byte) error
	close()
}

// records compares link, socket and copying for one size.
func records(ctx context.Context, rounds, size int) ([]benchtable.Row, error) {
	l, err := newLinkSide(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close()
	s, err := newSocketSide(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	c := newCopySide()

	b := make([]byte, size)
	var rate, idle, busy series
	for range rounds {
		err := firstError(
			func() error { return rate.add(0, func() (float64, error) { return throughput(l, b) }) },
			func() error { return rate.add(1, func() (float64, error) { return throughput(s, b) }) },
			func() error { return rate.add(2, func() (float64, error) { return throughput(c, b) }) },
			func() error { return idle.add(0, func() (float64, error) { return latency(l, b, asleep) }) },
			func() error { return idle.add(1, func() (float64, error) { return latency(s, b, asleep) }) },
			func() error { return busy.add(0, func() (float64, error) { return latency(l, b, 0) }) },
			func() error { return busy.add(1, func() (float64, error) { return latency(s, b, 0) }) },
			ctx.Err,
		)
		if err != nil {
			return nil, err
		}
	}
	const socket = "unix seqpacket"
	name := func(what string) string { return fmt.Sprintf("link: %s, %d B", what, size) }
	return []benchtable.Row{
		benchtable.Compare(name("throughput"), "MB/s", socket, rate[0], rate[1]),
		benchtable.Compare(name("throughput beside copying"), "MB/s", "memcpy in and out", rate[0], rate[2]),
		benchtable.Compare(name("wake-up, other end asleep, p50"), "us", socket, idle[0], idle[1]),
		benchtable.Compare(name("half a round trip, back to back, p50"), "us", socket, busy[0], busy[1]),
	}, nil
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
