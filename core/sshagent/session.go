package sshagent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// session answers what comes by one connection. Every byte that it reads is a guest's.
type session struct {
	ring     *ring
	upstream upstream
	bound    bindings
	report   func(Report)
}

var (
	failure = []byte{msgFailure}
	success = []byte{msgSuccess}
)

// names of what is refused without a look, for reports (draft-ietf-sshm-ssh-agent, section 6.1).
var refusedNames = map[byte]string{
	1: "list keys of SSH 1", 9: "remove all keys of SSH 1",
	17: "add a key", 18: "remove a key", 19: "remove all keys", 20: "add a key of a token", 21: "remove a key of a token",
	22: "lock the agent", 23: "unlock the agent", 25: "add a key with conditions", 26: "add a key of a token with conditions",
}

// answer carries out a request, which has at least one byte.
func (s *session) answer(msg []byte) []byte {
	switch msg[0] {
	case msgRequestIdentities:
		return s.list()
	case msgSignRequest:
		return s.sign(msg)
	case msgExtension:
		return s.extend(msg)
	}
	what := refusedNames[msg[0]]
	if what == "" {
		what = fmt.Sprintf("request %d", msg[0])
	}
	s.refuse(Use{For: what}, errors.New("the agent lists keys and signs, and does nothing else"))
	return failure
}

func (s *session) list() []byte {
	var all []identity
	for _, k := range s.ring.keys {
		all = append(all, identity{Key: k.blob, Comment: k.name})
	}
	theirs, err := s.upstream.list()
	if err != nil {
		s.refuse(Use{For: "list keys"}, err)
	}
	for _, k := range theirs {
		if s.ring.find(k.Blob) == nil {
			all = append(all, identity{Key: k.Blob, Comment: k.Comment})
		}
	}
	answer := identitiesAnswer(all)
	if len(answer) > maxMessage {
		return failure
	}
	return answer
}

// extend knows one extension.
func (s *session) extend(msg []byte) []byte {
	var ext extension
	if ssh.Unmarshal(msg, &ext) != nil || ext.Name != sessionBind {
		return failure
	}
	b, err := parseBinding(ext.Contents)
	if err == nil {
		s.bound, err = s.bound.add(b)
	}
	if err != nil {
		s.refuse(Use{For: "bind a session"}, err)
		return failure
	}
	s.upstream.bind(bytes.Clone(ext.Contents))
	return success
}

func (s *session) sign(msg []byte) []byte {
	var req signRequest
	if ssh.Unmarshal(msg, &req) != nil {
		return failure
	}
	use := s.describe(req)
	sig, err := s.signature(req, &use)
	if err != nil {
		s.refuse(use, err)
		return failure
	}
	s.report(Report{Signed: &use})
	return ssh.Marshal(signResponse{Signature: ssh.Marshal(sig)})
}

// signature signs with a key of the ring, if its hosts allow it, else with one of the user's agent.
func (s *session) signature(req signRequest, use *Use) (*ssh.Signature, error) {
	held := s.ring.find(req.Key)
	if held == nil {
		comment, sig, err := s.upstream.sign(req.Key, req.Data, req.Flags)
		use.Key = comment
		return sig, err
	}
	use.Key = held.name
	if len(held.hosts) > 0 {
		login, hostKey, err := parseLogin(req.Data, req.Key)
		if err != nil {
			return nil, fmt.Errorf("the key is for logins at certain hosts, and %w", err)
		}
		if err := s.bound.admit(login, hostKey, held.hosts); err != nil {
			return nil, err
		}
	}
	return held.sign(req.Data, req.Flags)
}

// maxText bounds what a report quotes of a guest's.
const maxText = 256

// describe says what a signature is wanted for, as far as that can be known.
func (s *session) describe(req signRequest) Use {
	use := Use{For: "unknown"}
	if key, err := ssh.ParsePublicKey(req.Key); err == nil {
		use.Fingerprint = ssh.FingerprintSHA256(key)
	}
	login, _, err := parseLogin(req.Data, req.Key)
	if err != nil {
		if strings.HasPrefix(string(req.Data[:min(len(req.Data), len(signatureMagic))]), signatureMagic) {
			use.For = "signature"
		}
		return use
	}
	use.For, use.User = "login", login.User[:min(len(login.User), maxText)]
	if host := s.bound.host(login.Session); host != nil {
		name, ok := find(s.ring.known, host.Marshal())
		if !ok {
			name = ssh.FingerprintSHA256(host)
		}
		use.Host = name
	}
	return use
}

func (s *session) refuse(use Use, why error) {
	use.Why = why.Error()
	s.report(Report{Refused: &use})
}
