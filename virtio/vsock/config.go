package vsock

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says what a vsock device is. Only GuestCID and Path are mandatory.
type Config struct {
	// GuestCID is the guest's address: 3 or above, below 2^32-1, and unused by other VMs of the guest's own host view.
	GuestCID uint64
	// Path is where host clients connect, a unix socket that New creates with mode 0600 and Close removes.
	// What the guest dials on CID 2, port P arrives at Path_P.
	Path string
	// Logger receives what goes wrong; nil means slog.Default.
	Logger *slog.Logger

	// MaxConnections bounds the connections of both directions; 0 means 4096. One more is refused.
	MaxConnections int
	// MaxHandshakes bounds the host clients that have connected but not yet asked for a port; 0 means 64.
	// Further ones wait in the listener's backlog.
	MaxHandshakes int
	// MaxBuffered bounds the bytes that the guest may have sent and no host program has read yet, over all
	// connections; 0 means 128 MiB.
	MaxBuffered int
	// HandshakeTimeout bounds each step of setting up a connection: the CONNECT line, the guest's answer, a host
	// listener's full backlog. 0 means 10 s.
	HandshakeTimeout time.Duration
	// Linger is how long Close waits for host programs to read what the guest has sent; 0 means 1 s.
	Linger time.Duration
}

const (
	// HostCID is the address of the host in every guest.
	HostCID = 2

	minGuestCID = 3
	maxGuestCID = 1<<32 - 2
)

func (c *Config) setDefaults() error {
	if c.GuestCID < minGuestCID || c.GuestCID > maxGuestCID {
		return fmt.Errorf("vsock: guest CID %d: must be from %d to %d", c.GuestCID, minGuestCID, uint64(maxGuestCID))
	}
	if c.Path == "" {
		return errors.New("vsock: the path of the host socket is empty")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.MaxConnections = orDefault(c.MaxConnections, 4096)
	c.MaxHandshakes = orDefault(c.MaxHandshakes, 64)
	c.MaxBuffered = orDefault(c.MaxBuffered, 128<<20)
	c.HandshakeTimeout = orDefault(c.HandshakeTimeout, 10*time.Second)
	c.Linger = orDefault(c.Linger, time.Second)
	return nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
