package sniff

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Of RFC 8446, sections 4 and 5.1, RFC 6066, section 3, and RFC 9849, section 5.
const (
	recordHandshake    = 22
	recordHeader       = 5
	maxRecord          = 1 << 14
	handshakeHeader    = 4
	typeClientHello    = 1
	extensionName      = 0
	extensionECH       = 0xfe0d
	nameTypeHost       = 0
	legacyVersionMajor = 3
)

var errHello = errors.New("malformed TLS hello")

// firstHello reads the name from the records at the beginning of a stream. A hello may be split over records in any way.
func firstHello(b []byte) (string, error) {
	var message []byte
	for len(b) >= recordHeader {
		kind, length, err := record(b)
		if err != nil {
			return "", err
		}
		if kind != recordHandshake {
			return "", errHello
		}
		rest := b[recordHeader:]
		whole := len(rest) >= length
		message = append(message, rest[:min(length, len(rest))]...)
		hello, err := wholeHello(message)
		if err == nil {
			return helloName(hello)
		}
		if !errors.Is(err, errIncomplete) {
			return "", err
		}
		if !whole {
			break
		}
		b = rest[length:]
	}
	return "", errIncomplete
}

// record reads the header of a record.
func record(b []byte) (kind byte, length int, err error) {
	length = int(b[3])<<8 | int(b[4])
	if b[1] != legacyVersionMajor || length == 0 || length > maxRecord+256 {
		return 0, 0, errHello
	}
	return b[0], length, nil
}

// wholeHello returns the body of the client hello that a handshake stream begins with.
func wholeHello(b []byte) ([]byte, error) {
	if len(b) > 0 && b[0] != typeClientHello {
		return nil, errHello
	}
	if len(b) < handshakeHeader {
		return nil, errIncomplete
	}
	length := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if length > MaxBytes {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errHello, MaxBytes)
	}
	if len(b) < handshakeHeader+length {
		return nil, errIncomplete
	}
	return b[handshakeHeader : handshakeHeader+length], nil
}

// helloName reads the server's name from the body of a client hello (RFC 8446, section 4.1.2).
func helloName(hello []byte) (string, error) {
	var session, suites, compressions, extensions cryptobyte.String
	in := cryptobyte.String(hello)
	if !in.Skip(2+32) || !in.ReadUint8LengthPrefixed(&session) || !in.ReadUint16LengthPrefixed(&suites) ||
		!in.ReadUint8LengthPrefixed(&compressions) {
		return "", errHello
	}
	if in.Empty() {
		return "", errNoName // a hello without extensions
	}
	if !in.ReadUint16LengthPrefixed(&extensions) || !in.Empty() {
		return "", errHello
	}
	var list cryptobyte.String
	named := false
	for !extensions.Empty() {
		var kind uint16
		var body cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&body) {
			return "", errHello
		}
		switch {
		case kind == extensionECH:
			return "", errEncrypted
		case kind == extensionName && named:
			return "", fmt.Errorf("%w: two lists of names", errHello)
		case kind == extensionName:
			list, named = body, true
		}
	}
	if !named {
		return "", errNoName
	}
	return listedName(list)
}

// listedName reads a list of names, in which one may stand.
func listedName(list cryptobyte.String) (string, error) {
	var names, name cryptobyte.String
	var kind uint8
	if !list.ReadUint16LengthPrefixed(&names) || !list.Empty() ||
		!names.ReadUint8(&kind) || !names.ReadUint16LengthPrefixed(&name) || !names.Empty() || kind != nameTypeHost {
		return "", fmt.Errorf("%w: not a list of one name", errHello)
	}
	return canonical(string(name))
}
