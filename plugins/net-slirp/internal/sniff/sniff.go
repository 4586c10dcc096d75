package sniff

import (
	"errors"

	"github.com/voidbox-run/voidbox/internal/hostname"
)

// MaxBytes is how much of a stream is looked at for its first name, and how long a hello or the head of a request may be.
const MaxBytes = 16 << 10

// Protocol is how the name was sent.
type Protocol uint8

// Protocols.
const (
	Unknown Protocol = iota
	TLS
	HTTP
)

// Result is what the first bytes say.
type Result struct {
	Protocol Protocol
	// Name is the server's in its canonical form, empty if there is none that can be relied on.
	Name string
	// Problem says why there is no name.
	Problem string
}

var (
	errIncomplete = errors.New("the beginning is incomplete")
	errNoName     = errors.New("no server name")
	errEncrypted  = errors.New("encrypted hello")
)

// First reads the beginning of a stream. done is false as long as more bytes could say more; the result is then what holds if none come.
func First(b []byte) (r Result, done bool) {
	var name string
	var err error
	switch {
	case len(b) == 0:
		err = errIncomplete
	case b[0] == recordHandshake:
		r.Protocol = TLS
		name, err = firstHello(b)
	case isToken(b[0]):
		r.Protocol = HTTP
		name, err = firstRequest(b)
	default:
		err = errors.New("neither TLS nor HTTP/1")
	}
	if err != nil {
		r.Problem = err.Error()
		return r, !errors.Is(err, errIncomplete) || len(b) >= MaxBytes
	}
	r.Name = name
	return r, true
}

// canonical returns a name in the form in which it is compared.
func canonical(s string) (string, error) {
	name, ok := hostname.Canonical(s)
	if !ok {
		return "", errNoName
	}
	return name, nil
}
