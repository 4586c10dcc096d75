package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// ListenVsock binds the agent's port for whatever address the machine has, which a restore may change. Only the host may
// connect.
func ListenVsock(log *slog.Logger) (net.Listener, error) {
	const remedy = "give the machine a vsock device and the kernel its driver"
	// Without a device the port binds all the same, and nobody can ever connect to it.
	if cid, err := vsock.ContextID(); err != nil || cid == unix.VMADDR_CID_ANY {
		return nil, errors.Join(errors.New("no vsock device: "+remedy), err)
	}
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, boot.AgentPort, nil)
	if err != nil {
		return nil, fmt.Errorf("listen on vsock port %d: %w: %s", boot.AgentPort, err, remedy)
	}
	return HostOnly{Listener: l, Log: log}, nil
}

// HostOnly accepts connections of the host and closes all others.
type HostOnly struct {
	net.Listener
	Log *slog.Logger
}

// Accept returns the next connection of the host.
func (h HostOnly) Accept() (net.Conn, error) {
	for {
		conn, err := h.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if FromHost(conn.RemoteAddr()) {
			return conn, nil
		}
		h.Log.Warn("refused a connection that is not the host's", "from", conn.RemoteAddr())
		_ = conn.Close()
	}
}

// FromHost tells whether an address is the host's.
func FromHost(addr net.Addr) bool {
	a, ok := addr.(*vsock.Addr)
	return ok && a.ContextID == boot.HostCID
}

// DialHost connects to a vsock port of the host.
func DialHost(port uint32) (net.Conn, error) { return vsock.Dial(boot.HostCID, port, nil) }

// ListenUnix listens on "unix:/path", which only the owner may connect to.
func ListenUnix(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok || path == "" {
		return nil, fmt.Errorf("listen address %q is not of the form unix:/path", address)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
