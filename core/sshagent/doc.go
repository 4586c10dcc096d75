// Package sshagent lends a guest the use of SSH keys without the keys.
//
// A program in the guest, such as the ssh that git starts, speaks the agent protocol to a socket that SSH_AUTH_SOCK names. The guest
// agent carries each connection to the host over vsock, and a process on the host answers: one for each sandbox, which holds the
// sandbox's deploy keys and nothing else, or asks the user's own agent.
//
//	guest                                        host
//	ssh ──▶ SSH_AUTH_SOCK ──▶ guest agent ─vsock─▶ monitor ──▶ voidbox ssh-agent (a jailed process) ──▶ the user's agent
//
// # What holds
//
//   - It lists keys and signs. Whatever else the protocol has (adding, removing, locking, smart cards) is refused.
//   - A key that names hosts signs for a login at these hosts and for nothing else: not for another host, not for a commit, not for
//     what only looks like a login. The ssh client has told the agent which host it talks to, in a message that the host's key has
//     signed (session-bind@openssh.com, OpenSSH's PROTOCOL.agent); a guest cannot forge that, whatever runs in it. The host's key
//     must be a known one.
//   - A key that names no hosts signs for anything while the sandbox lives. Each signature is reported either way.
//   - Only the guest agent can open a connection: it shows a token. Who may speak to it in the guest is its socket's matter.
//   - Messages, connections and signatures are bounded in size, number, time and rate.
//
// # The process
//
// The agent reads a guest's bytes and holds keys, so it is a process of its own, `voidbox ssh-agent`, which reads the keys, confines
// itself, and only then accepts: it may use the socket it has inherited, connect to the user's agent where that was asked for, and
// nothing else. It reads one line of JSON, [Config], and then waits for the end of its input. It reports by lines of JSON.
//
// The protocol is draft-ietf-sshm-ssh-agent; the messages that it signs are RFC 4252, section 7.
package sshagent
