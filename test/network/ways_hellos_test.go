package network_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"net"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"github.com/voidbox-run/voidbox/test/network/internal/escape"
)

var waysByHellos = []way{
	{"a name that shares the address, in a hello", "builtin:name", helloWay(func(e *escapee) []string { return []string{e.hello(otherName)} })},
	{"a name that ends like an allowed one, in a hello", "builtin:name", helloWay(func(e *escapee) []string { return []string{e.hello("evil-" + webName)} })},
	{"an allowed name that was not looked up here, in a hello", "builtin:name", helloWay(func(e *escapee) []string { return []string{e.hello("x.wild.example")} })},
	{"an allowed name at another address, in a hello", "builtin:default", func(e *escapee) attempt { return e.refused(evilAddress+":80", e.hello(webName)) }},
	{"a hello without a name", "builtin:name", helloWay(func(e *escapee) []string { return []string{e.hello("")} })},
	{"a hello in segments", "builtin:name", func(e *escapee) attempt {
		at := e.newServer()
		if a := e.ask(e.t, escape.Request{Do: escape.Stream, To: at, Send: [][]byte{[]byte(e.hello(otherName))}, Cut: 40}); a.Error == "" || len(a.Got) > 0 {
			e.t.Errorf("%s answers %q, %s", at, a.Got, a.Error)
		}
		return attempt{told: at}
	}},
	{"a hello in many records", "builtin:name", helloWay(func(e *escapee) []string { return []string{inRecords(e.hello(otherName), 1)} })},
	{"an encrypted hello", "builtin:name", helloWay(func(e *escapee) []string { return []string{e.encryptedHello(webName, otherName)} })},
	{"two names in a hello", "builtin:name", helloWay(func(e *escapee) []string { return []string{twoNames(e.hello(webName), otherName)} })},
	{"a second hello", "builtin:name", helloWay(func(e *escapee) []string { return []string{e.hello(webName), e.hello(otherName)} })},
	{"a second hello behind early data", "builtin:name", helloWay(func(e *escapee) []string {
		return []string{e.hello(webName), "\x17\x03\x03\x00\x04data" + e.hello(otherName)}
	})},
	{"a hello that never ends", "builtin:name", helloWay(func(*escapee) []string {
		return []string{"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + strings.Repeat("\x00", 16<<10)}
	})},
	{"a hello of SSL 2", "builtin:name", helloWay(func(*escapee) []string { return []string{"\x80\x2e\x01\x00\x02" + strings.Repeat("\x00", 43)} })},
}

// helloWay is a way that says what a TLS client would, to a server whose name is allowed.
func helloWay(pieces func(*escapee) []string) func(*escapee) attempt {
	return func(e *escapee) attempt {
		all := pieces(e)
		a := e.refusedLate(all...)
		// A record that was whole before the hello was refused may have gone on. The hello has not.
		e.mu.Lock()
		defer e.mu.Unlock()
		if got := e.received[a.at]; len(all) > 1 && len(got) > len(a.served) && len(got) < len(strings.Join(all, "")) {
			a.served = got
		}
		return a
	}
}

// hello is what a TLS client says first, to a server of any name if it is empty.
func (e *escapee) hello(name string) string {
	e.t.Helper()
	return e.firstOf(&tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // nobody answers
}

// encryptedHello is one whose true name nobody on the way can read (RFC 9849).
func (e *escapee) encryptedHello(outer, inner string) string {
	e.t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	e.must(err)
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(0xfe0d) // version
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(1)       // of this configuration
			b.AddUint16(0x0020) // DHKEM(X25519, HKDF-SHA256)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(key.PublicKey().Bytes()) })
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(1); b.AddUint16(1) }) // HKDF-SHA256, AES-128-GCM
			b.AddUint8(32)                                                                            // longest name
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(outer)) })
			b.AddUint16(0) // extensions
		})
	})
	return e.firstOf(&tls.Config{ServerName: inner, MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: b.BytesOrPanic()})
}

func (e *escapee) firstOf(cfg *tls.Config) string {
	e.t.Helper()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- tls.Client(client, cfg).HandshakeContext(e.Context())
		_ = client.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	_ = server.Close()
	if reason := <-done; err != nil {
		e.t.Fatalf("no hello: %v", reason)
	}
	return string(b[:n])
}

const recordHeader = 5

// inRecords puts a hello into records of so many bytes.
func inRecords(hello string, size int) string {
	var out strings.Builder
	for rest := hello[recordHeader:]; rest != ""; {
		n := min(size, len(rest))
		out.WriteString(hello[:3] + string(binary.BigEndian.AppendUint16(nil, uint16(n))) + rest[:n])
		rest = rest[n:]
	}
	return out.String()
}

// twoNames adds a second list of names to a hello.
func twoNames(hello, second string) string {
	list := "\x00" + string(binary.BigEndian.AppendUint16(nil, uint16(len(second)))) + second
	list = string(binary.BigEndian.AppendUint16(nil, uint16(len(list)))) + list
	extension := "\x00\x00" + string(binary.BigEndian.AppendUint16(nil, uint16(len(list)))) + list
	b := []byte(hello + extension)
	grow := func(at int) {
		binary.BigEndian.PutUint16(b[at:], binary.BigEndian.Uint16(b[at:])+uint16(len(extension)))
	}
	const version, random = 2, 32
	at := recordHeader + 4 + version + random
	at += 1 + int(b[at])                           // session
	at += 2 + int(binary.BigEndian.Uint16(b[at:])) // suites
	at += 1 + int(b[at])                           // compressions
	grow(3)                                        // the record
	grow(recordHeader + 2)                         // the message, whose length has a byte more in front
	grow(at)                                       // the extensions
	return string(b)
}
