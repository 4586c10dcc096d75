package pluginhost

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxHandshake bounds the handshake line; with a certificate in it, it has about 1 KiB.
const maxHandshake = 8 << 10

// minCertificate is more than go-plugin takes for no certificate at all, and less than any has.
const minCertificate = 51

// quoted bounds what an error repeats of a plugin's output.
const quoted = 160

// readHandshake reads the one line that a plugin says on standard output:
//
//	1|<protocol version>|unix|<socket>|grpc|<certificate>
//
// It is checked here, before go-plugin sees it, so that every way to get it wrong has its own sentence. io.EOF means that the
// plugin said nothing at all. With tls a certificate is demanded: without one go-plugin would trust whom the system trusts.
func readHandshake(plugin string, tls bool, in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	text := strings.TrimRight(string(line), "\r\n")
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", noHandshake(plugin, text)
	case err != nil && text == "":
		return "", io.EOF
	}
	fields := strings.Split(text, "|")
	if len(fields) < 5 || fields[0] != "1" {
		return "", noHandshake(plugin, text)
	}
	version, err := strconv.Atoi(fields[1])
	if err != nil {
		return "", noHandshake(plugin, text)
	}
	if version != base.ProtocolVersion {
		side := "plugin"
		if version > base.ProtocolVersion {
			side = "voidbox"
		}
		return "", errdef.New(errdef.ErrUnsupported, "plugin %s speaks version %d of the plugin protocol, and this voidbox version %d",
			plugin, version, base.ProtocolVersion).WithReason(ReasonProtocol).WithRemedy("update the %s", side)
	}
	if fields[2] != "unix" || fields[4] != "grpc" {
		return "", errdef.New(errdef.ErrUnsupported, "plugin %s offers %s over %s; only grpc over a unix socket is spoken",
			plugin, quote(fields[4]), quote(fields[2])).WithReason(ReasonProtocol)
	}
	if tls && (len(fields) < 6 || len(fields[5]) < minCertificate) {
		return "", errdef.New(errdef.ErrPermission, "plugin %s offers no TLS, without which no third-party plugin is used", plugin).
			WithReason(ReasonHandshake).
			WithRemedy("a plugin must trust the certificate in $PLUGIN_CLIENT_CERT alone, and print its own in the handshake")
	}
	return text, nil
}

func noHandshake(plugin, text string) error {
	return errdef.New(errdef.ErrInvalid, "plugin %s printed %s to standard output where the handshake belongs", plugin, quote(text)).
		WithReason(ReasonHandshake).
		WithRemedy("a plugin must print nothing before sdk.Serve, not even in an init function; send it to standard error")
}

func quote(text string) string {
	text = clean(text)
	if len(text) > quoted {
		text = strings.ToValidUTF8(text[:quoted], "") + "..."
	}
	return strconv.Quote(text)
}
