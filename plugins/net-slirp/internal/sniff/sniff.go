// Package sniff reads the name of a server from the first bytes that a client sends: TLS server name indication, or HTTP's Host.
package sniff

// MaxBytes is how much of a stream is looked at.
const MaxBytes = 16 << 10

// Result is what the first bytes say.
type Result struct {
	// Name is the server's, empty if there is none.
	Name string
}

// First reads the beginning of a stream. done is false as long as more bytes could say more.
func First(b []byte) (r Result, done bool) {
	return Result{}, true
}
