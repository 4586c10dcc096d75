package sdk

import (
	"github.com/hashicorp/go-plugin"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// What host and plugin agree on before the first call. Changing any of it breaks every plugin there is.
const (
	// CookieKey and CookieValue tell a program that a voidbox host started it. They keep a person from running a plugin by
	// hand, and a host from taking another program's plugin for one of its own; they protect nothing.
	CookieKey   = "VOIDBOX_PLUGIN"
	CookieValue = "d1a7c2f8-5b0e-4a36-9a4e-6f0b7c1e2d93"

	// EnvLifeline holds the number of a descriptor that reads end of file when the host is gone.
	EnvLifeline = "VOIDBOX_LIFELINE_FD"
	// EnvRuntimeDir holds the private directory of the process, the same that Configure gets.
	EnvRuntimeDir = "VOIDBOX_RUNTIME_DIR"
	// EnvLogLevel holds the lowest level that the host wants to see: debug, info, warn or error.
	EnvLogLevel = "VOIDBOX_LOG_LEVEL"
	// EnvReattach holds a JSON object of plugins, by binary name without its prefix, that run already, for debuggers.
	EnvReattach = "VOIDBOX_REATTACH_PLUGINS"

	// PluginSetName is the one entry of go-plugin's plugin set.
	PluginSetName = "voidbox"
)

// MaxMessageBytes bounds one gRPC message in either direction. gRPC's own 4 MiB is too little for a long conversation with
// tool results in it, which travels whole with every turn; go-plugin's 2 GiB lets a plugin exhaust the host's memory with one
// message. File data and console output are cut into pieces, so nothing legitimate comes near.
const MaxMessageBytes = 32 << 20

// Handshake returns the handshake in go-plugin's terms.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  base.ProtocolVersion,
		MagicCookieKey:   CookieKey,
		MagicCookieValue: CookieValue,
	}
}
