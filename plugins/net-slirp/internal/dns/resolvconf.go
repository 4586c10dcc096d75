package dns

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// Bounds of resolv.conf(5).
const (
	maxServers    = 8
	maxResolvConf = 64 << 10
	rereadTime    = 5 * time.Second
)

const dnsPort = 53

// ResolvConf is the host's list of resolvers, which changes with its networks. The file is opened before the jail closes, and read by
// its descriptor where it cannot be opened again.
type ResolvConf struct {
	path string
	file *os.File

	mu      sync.Mutex
	read    time.Time
	servers []netip.AddrPort
}

// OpenResolvConf opens a file such as /etc/resolv.conf.
func OpenResolvConf(path string) (*ResolvConf, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &ResolvConf{path: path, file: file}, nil
}

// Close closes the file.
func (c *ResolvConf) Close() error { return c.file.Close() }

// Servers returns the resolvers as of a few seconds ago at most.
func (c *ResolvConf) Servers() []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.read.IsZero() || now.Sub(c.read) > rereadTime {
		c.read = now
		if text, err := c.text(); err == nil {
			c.servers = parseResolvConf(text)
		}
	}
	return c.servers
}

// text reads the file anew. Whoever changes it may have put another in its place, and may have written into it.
func (c *ResolvConf) text() ([]byte, error) {
	if file, err := os.Open(c.path); err == nil {
		defer file.Close()
		return io.ReadAll(io.LimitReader(file, maxResolvConf))
	}
	return io.ReadAll(io.NewSectionReader(c.file, 0, maxResolvConf))
}

// parseResolvConf returns the resolvers that a file names. Without any, it is the one of the host itself.
func parseResolvConf(text []byte) []netip.AddrPort {
	var servers []netip.AddrPort
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() && len(servers) < maxServers {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, dnsPort))
		}
	}
	if len(servers) == 0 {
		servers = append(servers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort))
	}
	return servers
}
