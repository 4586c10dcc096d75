package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/test/lab/internal/wire"
	"golang.org/x/sys/unix"
)

// server runs the host's commands. Only its own goroutine reads the port.
type server struct {
	port     io.Reader
	host     *wire.Writer
	children *reaper
	running  *command // the last one that was started
}

func newServer(port io.ReadWriter) *server {
	return &server{port: port, host: wire.NewWriter(port), children: newReaper()}
}

// serve returns when it cannot go on: the host is gone, or speaks another language.
func (s *server) serve() error {
	if err := s.host.WriteJSON(wire.Ready, hello()); err != nil {
		return err
	}
	go s.beat()
	for {
		kind, body, err := wire.Read(s.port)
		if err != nil {
			return fmt.Errorf("read from the host: %w", err)
		}
		if err := s.handle(kind, body); err != nil {
			return err
		}
	}
}

// beat tells the host once a second that the machine is alive. It ends with the machine.
func (s *server) beat() {
	for range time.Tick(time.Second) {
		if s.host.Write(wire.Alive, nil) != nil {
			return
		}
	}
}

func (s *server) handle(kind wire.Kind, body []byte) error {
	switch kind {
	case wire.Start:
		var spec wire.Command
		if err := json.Unmarshal(body, &spec); err != nil {
			return fmt.Errorf("command: %w", err)
		}
		s.start(spec)
	case wire.Input, wire.Resize, wire.Signal:
		if s.running != nil {
			s.running.control(kind, body)
		}
	case wire.Fetch:
		return s.fetch(string(body))
	default:
		return fmt.Errorf("the host sent a frame of unknown kind %d", kind)
	}
	return nil
}

func (s *server) start(spec wire.Command) {
	c, err := startCommand(spec, s.host, s.children)
	if err != nil {
		_ = s.host.WriteJSON(wire.Exit, wire.Status{Code: 127, Error: err.Error()})
		return
	}
	s.running = c
}

// fetch sends a file's content. A host that is gone ends the machine when it is read from next.
func (s *server) fetch(name string) error {
	reason := ""
	f, err := os.Open(name)
	if err == nil {
		_, err = io.Copy(s.host.Stream(wire.Chunk), f)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		reason = err.Error()
	}
	return s.host.Write(wire.Done, []byte(reason))
}

func hello() wire.Hello {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	h := wire.Hello{Kernel: strings.TrimSpace(string(release))}
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) == nil {
		h.Uptime = float64(now.Nano()) / 1e9
	}
	return h
}
