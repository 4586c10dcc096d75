//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

// The other process finds its files from here on.
const firstFile = 3

// What the first byte of a record asks of the other process.
const (
	opSink = iota // copy it out
	opDone        // copy it out and answer with a byte
	opEcho        // send it back
)

// process is the other process.
type process struct{ cmd *exec.Cmd }

func start(ctx context.Context, kind string, files ...*os.File) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", kind)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the other process: %w", err)
	}
	return &process{cmd: cmd}, nil
}

// stop waits for the process, whose files have been closed.
func (p *process) stop() { _ = p.cmd.Wait() }

// startWithSocket starts the other process with one end of a seqpacket pair.
func startWithSocket(ctx context.Context, kind string) (*net.UnixConn, *process, error) {
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	f, err := theirs.File()
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	p, err := start(ctx, kind, f)
	if err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	return ours, p, nil
}

// serve is the other process.
func serve(ctx context.Context, kind string) error {
	switch kind {
	case "link":
		return serveLink(ctx)
	case "socket":
		return serveSocket()
	case "poller":
		return serveEvents(pollerEvents)
	case "thread":
		return serveEvents(threadEvents)
	}
	return fmt.Errorf("no process of kind %q", kind)
}
