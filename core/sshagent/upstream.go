package sshagent

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// upstreamTime bounds a request to the user's agent, which may have to ask its user, or wait for a finger on a token.
const upstreamTime = 2 * time.Minute

// upstream is a connection to the user's own agent, made for one of a guest's when it is first needed. What a guest binds a session
// to is passed on, so that keys that the user has added for certain hosts only (ssh-add -h) stay bound to them.
type upstream struct {
	path  string
	conn  net.Conn
	agent agent.ExtendedAgent
	bound [][]byte // contents of session-binds so far
}

// use connects, unless that was done, and gives the next request its time.
func (u *upstream) use() (agent.ExtendedAgent, error) {
	if u.conn == nil {
		conn, err := net.DialTimeout("unix", u.path, 5*time.Second)
		if err != nil {
			return nil, err
		}
		u.conn, u.agent = conn, agent.NewClient(conn)
		_ = conn.SetDeadline(time.Now().Add(upstreamTime))
		for _, contents := range u.bound {
			_, _ = u.agent.Extension(sessionBind, contents) // an agent that does not know it has no such keys
		}
	}
	_ = u.conn.SetDeadline(time.Now().Add(upstreamTime))
	return u.agent, nil
}

func (u *upstream) bind(contents []byte) {
	u.bound = append(u.bound, contents)
	if u.conn == nil {
		return
	}
	if a, err := u.use(); err == nil {
		_, _ = a.Extension(sessionBind, contents)
	}
}

// list returns the user's keys; none where nobody has lent them.
func (u *upstream) list() ([]*agent.Key, error) {
	if u.path == "" {
		return nil, nil
	}
	a, err := u.use()
	if err != nil {
		return nil, fmt.Errorf("the user's agent: %w", err)
	}
	all, err := a.List()
	if err != nil {
		u.close()
		return nil, fmt.Errorf("the user's agent: %w", err)
	}
	return all, nil
}

// sign has the user's agent sign, with a key that it has.
func (u *upstream) sign(key, data []byte, flags uint32) (comment string, _ *ssh.Signature, err error) {
	all, err := u.list()
	if err != nil {
		return "", nil, err
	}
	for _, k := range all {
		if bytes.Equal(k.Blob, key) {
			sig, err := u.agent.SignWithFlags(k, data, agent.SignatureFlags(flags))
			return k.Comment, sig, err
		}
	}
	return "", nil, errNoKey
}

var errNoKey = errors.New("there is no such key")

func (u *upstream) close() {
	if u.conn != nil {
		_ = u.conn.Close()
		u.conn, u.agent = nil, nil
	}
}
