package sshagent

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

const (
	sessionBind = "session-bind@openssh.com"
	maxBindings = 16 // as OpenSSH's agent has it
)

// binding is a session that the client says its connection is used for, with the word of the host at its other end.
type binding struct {
	host       ssh.PublicKey
	session    []byte
	forwarding bool // the session carries the connection on, to a client on that host
}

// parseBinding reads and verifies the contents of a session-bind (OpenSSH's PROTOCOL.agent, section 1). The host has signed the
// session's identifier, which is the hash of a key exchange that it has taken part in.
func parseBinding(contents []byte) (b binding, err error) {
	var msg struct {
		HostKey    []byte
		Session    []byte
		Signature  []byte
		Forwarding bool
	}
	if err := ssh.Unmarshal(contents, &msg); err != nil {
		return b, errors.New("it cannot be read")
	}
	if len(msg.Session) == 0 {
		return b, errors.New("it names no session")
	}
	host, err := ssh.ParsePublicKey(msg.HostKey)
	if err != nil {
		return b, errors.New("the host's key cannot be read")
	}
	var signature ssh.Signature
	if err := ssh.Unmarshal(msg.Signature, &signature); err != nil {
		return b, errors.New("the host's signature cannot be read")
	}
	if err := host.Verify(msg.Session, &signature); err != nil {
		return b, errors.New("the host's signature is wrong")
	}
	return binding{host: host, session: msg.Session, forwarding: msg.Forwarding}, nil
}

// bindings are those of a connection, in order.
type bindings []binding

// add takes another one. A session is bound once, and nothing follows one that authenticates.
func (s bindings) add(b binding) (bindings, error) {
	for _, old := range s {
		if bytes.Equal(old.session, b.session) {
			if bytes.Equal(old.host.Marshal(), b.host.Marshal()) && old.forwarding == b.forwarding {
				return s, nil
			}
			return s, errors.New("the session is bound to another host already")
		}
	}
	if len(s) > 0 && !s[len(s)-1].forwarding {
		return s, errors.New("the connection is for a login already")
	}
	if len(s) == maxBindings {
		return s, fmt.Errorf("there are %d bindings already", maxBindings)
	}
	return append(s, b), nil
}

// host is where a login leads that uses the session; nil if nobody has vouched for it.
func (s bindings) host(session []byte) ssh.PublicKey {
	if len(s) == 0 || !bytes.Equal(s[len(s)-1].session, session) {
		return nil
	}
	return s[len(s)-1].host
}

// admit says whether a login may be signed for a key of certain hosts: the session must be bound, last of all and not for forwarding,
// and every host on the way must be one of them.
func (s bindings) admit(u userauth, hostKey []byte, known []hostKey) error {
	if len(s) == 0 {
		return errors.New("the client does not say which host it talks to; that takes OpenSSH 8.9 or later in the guest")
	}
	last := s[len(s)-1]
	switch {
	case !bytes.Equal(last.session, u.Session) || last.forwarding:
		return errors.New("the login is for another session than the one that the host has vouched for")
	case hostKey != nil && !bytes.Equal(hostKey, last.host.Marshal()):
		return errors.New("the login names another host than the one that has vouched for it")
	}
	for _, b := range s {
		if _, ok := find(known, b.host.Marshal()); !ok {
			return errors.New("the host is none of those that the key is for")
		}
	}
	return nil
}
