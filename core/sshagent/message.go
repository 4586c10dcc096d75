package sshagent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// Numbers of messages (draft-ietf-sshm-ssh-agent, section 6.1).
const (
	msgFailure           = 5
	msgSuccess           = 6
	msgRequestIdentities = 11
	msgIdentitiesAnswer  = 12
	msgSignRequest       = 13
	msgSignResponse      = 14
	msgExtension         = 27
)

// maxMessage is what OpenSSH's agent takes (AGENT_MAX_LEN in its authfd.h).
const maxMessage = 256 << 10

// readMessage reads a message: its length, and that many bytes. Memory is taken as bytes come, not as they are announced.
func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	msg, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(msg) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return msg, err
}

func writeMessage(w io.Writer, msg []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...))
	return err
}

// signRequest is a client's wish for a signature.
type signRequest struct {
	Key   []byte `sshtype:"13"`
	Data  []byte
	Flags uint32
}

// Flags of a signRequest.
const (
	flagRSA256 = 2
	flagRSA512 = 4
)

type signResponse struct {
	Signature []byte `sshtype:"14"`
}

// identity is one key of an answer.
type identity struct {
	Key     []byte
	Comment string
}

func identitiesAnswer(all []identity) []byte {
	msg := binary.BigEndian.AppendUint32([]byte{msgIdentitiesAnswer}, uint32(len(all)))
	for _, id := range all {
		msg = append(msg, ssh.Marshal(id)...)
	}
	return msg
}

type extension struct {
	Name     string `sshtype:"27"`
	Contents []byte `ssh:"rest"`
}

// userauth is what a login signs (RFC 4252, section 7), and its variant that names the host's key (OpenSSH's PROTOCOL, "hostbound").
type userauth struct {
	Session   []byte
	Number    byte // msgUserauth
	User      string
	Service   string
	Method    string
	HasSig    bool
	Algorithm string
	Key       []byte
	Rest      []byte `ssh:"rest"`
}

const (
	msgUserauth     = 50
	serviceName     = "ssh-connection"
	methodPublicKey = "publickey"
	methodHostBound = "publickey-hostbound-v00@openssh.com"
)

var errNoLogin = errors.New("it is not a login")

// parseLogin reads what a login with the key would sign. hostKey is nil unless the client names it.
func parseLogin(data, key []byte) (u userauth, hostKey []byte, err error) {
	if err := ssh.Unmarshal(data, &u); err != nil {
		return u, nil, errNoLogin
	}
	if u.Number != msgUserauth || u.Service != serviceName || !u.HasSig || string(u.Key) != string(key) {
		return u, nil, errNoLogin
	}
	switch u.Method {
	case methodPublicKey:
		if len(u.Rest) == 0 {
			return u, nil, nil
		}
	case methodHostBound:
		var bound struct{ HostKey []byte }
		if ssh.Unmarshal(u.Rest, &bound) == nil {
			return u, bound.HostKey, nil
		}
	}
	return u, nil, errNoLogin
}

// signatureMagic begins what `ssh-keygen -Y sign` signs, as git does for commits (OpenSSH's PROTOCOL.sshsig).
const signatureMagic = "SSHSIG"
