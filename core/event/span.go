package event

import (
	"crypto/rand"
	"encoding/hex"
)

// newSpan returns a span id as OpenTelemetry has them: eight random bytes in hex.
func newSpan() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
