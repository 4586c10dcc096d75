package sshagent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// world is a session with a key that is bound to one host, and one that is not.
type world struct {
	*session
	host, otherHost ssh.Signer
	bound, free     heldKey
	reports         []Report
}

func newWorld(t testing.TB) *world {
	w := &world{host: newSigner(t), otherHost: newSigner(t)}
	known := []hostKey{{host: "git.example", key: w.host.PublicKey().Marshal()}, {host: "other.example", key: w.otherHost.PublicKey().Marshal()}}
	hold := func(name string, hosts []hostKey) heldKey {
		signer := newSigner(t)
		return heldKey{name: name, signer: signer, blob: signer.PublicKey().Marshal(), hosts: hosts}
	}
	w.bound, w.free = hold("bound", known[:1]), hold("free", nil)
	w.session = &session{ring: &ring{keys: []heldKey{w.bound, w.free}, known: known}, report: func(r Report) { w.reports = append(w.reports, r) }}
	return w
}

// bindTo is a session-bind, as a client sends it once it has seen the host's signature.
func bindTo(t testing.TB, host ssh.Signer, id string, forwarding bool) []byte {
	t.Helper()
	signature, err := host.Sign(rand.Reader, []byte(id))
	if err != nil {
		t.Fatal(err)
	}
	return extensionOf(host.PublicKey().Marshal(), []byte(id), ssh.Marshal(signature), forwarding)
}

func extensionOf(key, id, signature []byte, forwarding bool) []byte {
	return ssh.Marshal(extension{Name: sessionBind, Contents: ssh.Marshal(struct {
		Key, Session, Signature []byte
		Forwarding              bool
	}{key, id, signature, forwarding})})
}

func login(k heldKey, id string, hostKey []byte) []byte {
	u := userauth{
		Session: []byte(id), Number: msgUserauth, User: "git", Service: serviceName, Method: methodPublicKey, HasSig: true,
		Algorithm: k.signer.PublicKey().Type(), Key: k.blob,
	}
	if hostKey != nil {
		u.Method, u.Rest = methodHostBound, ssh.Marshal(struct{ Key []byte }{hostKey})
	}
	return ssh.Marshal(u)
}

func (w *world) signs(t *testing.T, k heldKey, data []byte) bool {
	t.Helper()
	answer := w.answer(ssh.Marshal(signRequest{Key: k.blob, Data: data}))
	if len(answer) == 1 && answer[0] == msgFailure {
		return false
	}
	var response signResponse
	var signature ssh.Signature
	if err := ssh.Unmarshal(answer, &response); err != nil {
		t.Fatalf("answer %x: %v", answer, err)
	}
	if err := ssh.Unmarshal(response.Signature, &signature); err != nil {
		t.Fatal(err)
	}
	if err := k.signer.PublicKey().Verify(data, &signature); err != nil {
		t.Errorf("the signature is wrong: %v", err)
	}
	return true
}

func (w *world) binds(msg []byte) bool { return w.answer(msg)[0] == msgSuccess }

func TestLoginAtTheHostIsSigned(t *testing.T) {
	for name, hostKey := range map[string]bool{"plain": false, "names the host": true} {
		w := newWorld(t)
		var named []byte
		if hostKey {
			named = w.host.PublicKey().Marshal()
		}
		if !w.binds(bindTo(t, w.host, "session", false)) || !w.signs(t, w.bound, login(w.bound, "session", named)) {
			t.Errorf("%s: refused: %+v", name, w.reports)
			continue
		}
		use := w.reports[len(w.reports)-1].Signed
		if use == nil || use.Key != "bound" || use.For != "login" || use.User != "git" || use.Host != "git.example" || !strings.HasPrefix(use.Fingerprint, "SHA256:") {
			t.Errorf("%s: report %+v", name, use)
		}
	}
}

// What a guest may try with a key that is for one host.
func TestBoundKeySignsNothingElse(t *testing.T) {
	w := newWorld(t)
	other := w.otherHost.PublicKey().Marshal()
	for name, c := range map[string]struct {
		bind []byte
		data []byte
	}{
		"no binding":              {nil, login(w.bound, "session", nil)},
		"another host":            {bindTo(t, w.otherHost, "session", false), login(w.bound, "session", nil)},
		"unknown host":            {bindTo(t, newSigner(t), "session", false), login(w.bound, "session", nil)},
		"another session":         {bindTo(t, w.host, "session", false), login(w.bound, "another", nil)},
		"forwarded session":       {bindTo(t, w.host, "session", true), login(w.bound, "session", nil)},
		"names another host":      {bindTo(t, w.host, "session", false), login(w.bound, "session", other)},
		"login with another key":  {bindTo(t, w.host, "session", false), login(w.free, "session", nil)},
		"commit":                  {bindTo(t, w.host, "session", false), []byte(signatureMagic + "\x00\x00\x00\x03git")},
		"nothing":                 {bindTo(t, w.host, "session", false), nil},
		"more behind a login":     {bindTo(t, w.host, "session", false), append(login(w.bound, "session", nil), 0)},
		"login that is cut short": {bindTo(t, w.host, "session", false), login(w.bound, "session", nil)[:40]},
	} {
		w.session.bound, w.reports = nil, nil
		if c.bind != nil && !w.binds(c.bind) {
			t.Errorf("%s: not bound", name)
		}
		if w.signs(t, w.bound, c.data) {
			t.Errorf("%s: signed", name)
		}
		if len(w.reports) != 1 || w.reports[0].Refused == nil || w.reports[0].Refused.Why == "" {
			t.Errorf("%s: reports %+v", name, w.reports)
		}
	}
	if !w.signs(t, w.free, []byte("anything")) {
		t.Error("a key for everything does not sign")
	}
}

func TestForgedBindings(t *testing.T) {
	w := newWorld(t)
	key, signature := w.host.PublicKey().Marshal(), func(s ssh.Signer, text string) []byte {
		sig, err := s.Sign(rand.Reader, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return ssh.Marshal(sig)
	}
	for name, msg := range map[string][]byte{
		"signed by another":   extensionOf(key, []byte("session"), signature(w.otherHost, "session"), false),
		"of another session":  extensionOf(key, []byte("session"), signature(w.host, "another"), false),
		"no signature":        extensionOf(key, []byte("session"), nil, false),
		"no session":          extensionOf(key, nil, signature(w.host, ""), false),
		"no key":              extensionOf(nil, []byte("session"), signature(w.host, "session"), false),
		"nothing in it":       ssh.Marshal(extension{Name: sessionBind}),
		"another extension":   ssh.Marshal(extension{Name: "restrict-destination-v00@openssh.com"}),
		"extension of nobody": {msgExtension},
	} {
		if w.binds(msg) {
			t.Errorf("%s: taken", name)
		}
	}
	for range 2 {
		if !w.binds(bindTo(t, w.host, "one", false)) {
			t.Error("the session is refused, or the same again")
		}
	}
	if w.binds(bindTo(t, w.host, "two", false)) {
		t.Error("a second login by one connection")
	}
	if w.binds(bindTo(t, w.otherHost, "one", false)) {
		t.Error("the session is bound to another host")
	}
}

// A way over several hosts must be one of allowed hosts, all of it.
func TestForwardedAgent(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		first ssh.Signer
		want  bool
	}{"over an allowed host": {w.host, true}, "over another": {w.otherHost, false}} {
		w.session.bound = nil
		if !w.binds(bindTo(t, c.first, "hop", true)) || !w.binds(bindTo(t, w.host, "login", false)) {
			t.Fatalf("%s: not bound", name)
		}
		if got := w.signs(t, w.bound, login(w.bound, "login", nil)); got != c.want {
			t.Errorf("%s: signed %v", name, got)
		}
	}
	w.session.bound = nil
	for i := range maxBindings + 1 {
		if got, want := w.binds(bindTo(t, w.host, string(rune('a'+i)), true)), i < maxBindings; got != want {
			t.Errorf("binding %d: %v", i, got)
		}
	}
}

func TestOnlyListAndSign(t *testing.T) {
	w := newWorld(t)
	list := w.answer([]byte{msgRequestIdentities})
	if list[0] != msgIdentitiesAnswer || binary.BigEndian.Uint32(list[1:]) != 2 || !bytes.Contains(list, w.bound.blob) || !bytes.Contains(list, []byte("free")) {
		t.Errorf("list %q", list)
	}
	for n := range 256 {
		switch byte(n) {
		case msgRequestIdentities:
			continue
		}
		for _, msg := range [][]byte{{byte(n)}, append([]byte{byte(n)}, list...)} {
			if answer := w.answer(msg); !bytes.Equal(answer, failure) {
				t.Errorf("request %d: %x", n, answer)
			}
		}
	}
	if !bytes.Equal(w.answer([]byte{msgRequestIdentities}), list) {
		t.Error("the list has changed")
	}
	if w.signs(t, heldKey{blob: newSigner(t).PublicKey().Marshal()}, []byte("text")) {
		t.Error("signed with a key that is not there")
	}
}

func FuzzSession(f *testing.F) {
	w := newWorld(f)
	f.Add([]byte{msgRequestIdentities})
	f.Add(bindTo(f, w.host, "session", false))
	f.Add(ssh.Marshal(signRequest{Key: w.bound.blob, Data: login(w.bound, "session", nil)}))
	f.Add(ssh.Marshal(signRequest{Key: w.free.blob, Data: []byte(signatureMagic), Flags: 7}))
	f.Add([]byte{17, 0, 0, 0, 11})
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) == 0 {
			return
		}
		w.reports = nil
		answer := w.answer(msg)
		if len(answer) == 0 || len(answer) > maxMessage {
			t.Fatalf("answer of %d bytes", len(answer))
		}
		// The free key may sign what it likes; the other one only what a host has vouched for.
		for _, r := range w.reports {
			if r.Signed != nil && r.Signed.Key == "bound" && len(w.session.bound) == 0 {
				t.Fatalf("signed %+v", r.Signed)
			}
		}
	})
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 11})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 4, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, err := readMessage(bytes.NewReader(data))
		if err == nil && (len(msg) == 0 || len(msg) > maxMessage || !bytes.Equal(msg, data[4:4+len(msg)])) {
			t.Fatalf("%x: %x", data, msg)
		}
	})
}
