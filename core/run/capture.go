package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Capture asks for packet captures: pcap files of what guests send and receive.
type Capture struct {
	// Path of the file. Where a run has several stages, or attempts, each has a file of its own, with a name before the extension:
	// net.pcap, net.build.pcap, net.build.2.pcap. Empty means no capture.
	Path     string
	MaxBytes uint64 // of each file; 0 means network.DefaultCaptureBytes
}

// file returns the name of a stage's file. It is counted, so each call has another result.
func (n *networks) file(path, stage string, stages int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.files == nil {
		n.files = map[string]int{}
	}
	n.files[stage]++
	ext := filepath.Ext(path)
	name := strings.TrimSuffix(path, ext)
	if stages > 1 {
		name += "." + strings.ReplaceAll(stage, string(filepath.Separator), "_")
	}
	if count := n.files[stage]; count > 1 {
		name += fmt.Sprintf(".%d", count)
	}
	return name + ext
}

// capturable finds out whether there is anything to capture.
func capturable(t target) error {
	boxes := []*plan.Sandbox{t.sandbox}
	for _, s := range t.stages {
		if s.Agent != nil {
			boxes = append(boxes, s.Agent.Sandbox)
		}
	}
	if slices.ContainsFunc(boxes, func(s *plan.Sandbox) bool { return s != nil && s.Network != nil }) {
		return nil
	}
	return errdef.New(errdef.ErrInvalid, "there are no packets to capture: no sandbox of %s has a network", t.name)
}

// checkCapture finds a network that cannot be captured.
func (r *Run) checkCapture(s *plan.Sandbox) error {
	if r.cfg.Capture.Path == "" {
		return nil
	}
	able, err := r.cfg.Host.Capabilities(r.ctx, base.KindNetwork, s.Network.Plugin)
	if err != nil {
		return err
	}
	if !slices.Contains(able, network.CapPcap) {
		return errdef.New(errdef.ErrUnsupported, "sandbox %s: network %s captures no packets", s.Name, s.Network.Plugin)
	}
	return nil
}

// capture writes what a guest sends and receives to its file, from its first frame on, until its network ends.
func (r *Run) capture(ctx context.Context, g *guestNet) error {
	if r.cfg.Capture.Path == "" {
		return nil
	}
	path := r.networks.file(r.cfg.Capture.Path, g.stage, len(r.target.stages))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("capture packets: %w", err)
	}
	begun := &firstWrite{file: file, done: make(chan struct{})}
	ended := make(chan error, 1)
	g.captured = make(chan struct{})
	go func() {
		defer close(g.captured)
		err := g.Capture(g.ctx, network.Capture{MaxBytes: r.cfg.Capture.MaxBytes}, begun)
		lost := errors.Join(begun.failed, file.Close())
		switch {
		case lost != nil:
			g.report.events.Emit(event.Warning{Message: "captured packets are lost: " + event.Clean(lost.Error())})
		case err == nil:
			g.report.events.Emit(event.Warning{Message: fmt.Sprintf("%s is full; later packets are not in it", path)})
		}
		ended <- err
	}()
	select {
	case <-begun.done:
		return nil
	case err := <-ended:
		if err == nil {
			return nil
		}
		return fmt.Errorf("capture packets: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// firstWrite is a file that tells when something was written to it.
type firstWrite struct {
	file   *os.File
	once   sync.Once
	done   chan struct{}
	failed error
}

func (w *firstWrite) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil {
		w.failed = err
	}
	w.once.Do(func() { close(w.done) })
	return n, err
}
