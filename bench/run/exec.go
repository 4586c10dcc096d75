package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	latencyGoal    = 1.6 // p50 of one exec at a time
	throughputGoal = 0.8 // execs a second, 64 at once
	atOnce         = 64
	execsEach      = 4 // by each of the 64, in one round
)

// execThroughAgent measures exec of /bin/true through the guest agent, as a process of this machine, beside plain os/exec.
func execThroughAgent(ctx context.Context, bin string, rounds int) ([]benchtable.Row, error) {
	agent, stop, err := startAgent(ctx, bin)
	if err != nil {
		return nil, err
	}
	defer stop()
	ours := func() error {
		exit, err := agent.Exec(ctx, sandbox.Command{Args: []string{"/bin/true"}}, sandbox.IO{})
		if err == nil && exit.Code != 0 {
			err = fmt.Errorf("/bin/true ended with %d", exit.Code)
		}
		return err
	}
	plain := func() error { _, err := exec.CommandContext(ctx, "/bin/true").Output(); return err }

	one, err := alternate(rounds*10, ours, plain)
	if err != nil {
		return nil, err
	}
	many, err := alternate(max(rounds/5, 3), manyOf(ours), manyOf(plain))
	if err != nil {
		return nil, err
	}
	latency := benchtable.Compare("exec of /bin/true through the agent, p50", "ms", "os/exec", one.ours, one.peer)
	latency.Goal = benchtable.AtMost(latencyGoal)
	throughput := benchtable.Compare("exec of /bin/true, 64 at once", "per s", "os/exec", perSecond(many.ours), perSecond(many.peer))
	throughput.Goal = benchtable.AtLeast(throughputGoal)
	return []benchtable.Row{latency, throughput}, nil
}

// startAgent starts the guest agent as an ordinary process and waits until it answers.
func startAgent(ctx context.Context, bin string) (sandbox.Sandbox, func(), error) {
	dir, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return nil, nil, err
	}
	token := make([]byte, sandbox.TokenSize)
	rand.Read(token) // never fails (crypto/rand)
	config := &boot.Config{
		Version: boot.Version, Token: token,
		User: boot.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Name: "bench", Home: dir},
	}
	data, err := config.Encode()
	if err != nil {
		return nil, nil, err
	}
	file, socket := filepath.Join(dir, "boot.json"), filepath.Join(dir, "s")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "voidbox-guest-agent"), "-listen", "unix:"+socket, "-config", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	conn, err := grpc.NewClient("passthrough:agent", append(sandbox.DialOptions(),
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))...)
	if err != nil {
		return nil, nil, err
	}
	agent := sandbox.NewClient(conn, token)
	stop := func() {
		conn.Close()
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	}
	answer, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := agent.Info(answer); err != nil {
		stop()
		return nil, nil, fmt.Errorf("the agent does not answer: %w", err)
	}
	return agent, stop, nil
}

// series are the measurements of both sides, in milliseconds.
type series struct{ ours, peer []float64 }

// alternate lets both sides take turns, so that whatever else the machine does meets both.
func alternate(rounds int, ours, peer func() error) (s series, err error) {
	for round := range rounds + 3 { // the first ones warm up
		a, err := timed(ours)
		if err != nil {
			return s, err
		}
		b, err := timed(peer)
		if err != nil {
			return s, err
		}
		if round >= 3 {
			s.ours, s.peer = append(s.ours, a), append(s.peer, b)
		}
	}
	return s, nil
}

func manyOf(fn func() error) func() error {
	return func() error {
		errs := make(chan error, atOnce)
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(func() {
				for range execsEach {
					if err := fn(); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	}
}

func perSecond(ms []float64) []float64 {
	rates := make([]float64, len(ms))
	for i, d := range ms {
		rates[i] = atOnce * execsEach / d * 1e3
	}
	return rates
}
