package sshagent

// Config is the line that the process is told what to do by. It holds paths of keys, and no key.
type Config struct {
	Keys []Key `json:"keys,omitempty"`
	// Upstream is the socket of the user's own agent, whose keys are lent too; empty means none.
	Upstream   string     `json:"upstream,omitempty"`
	Token      []byte     `json:"token"` // that a connection begins with
	KnownHosts KnownHosts `json:"known_hosts,omitempty"`
}

// Key is a key that is lent.
type Key struct {
	Name string `json:"name"`
	Path string `json:"path"`
	// Hosts bounds what it may sign: a login at one of them. Empty means anything.
	Hosts []string `json:"hosts,omitempty"`
}

// Report is a line that the process writes.
type Report struct {
	Ready  bool    `json:"ready,omitempty"`  // the first line, if all is well
	Failed *Failed `json:"failed,omitempty"` // the first line, if not

	Signed  *Use `json:"signed,omitempty"`
	Refused *Use `json:"refused,omitempty"`
}

// Failed says why the process does not start.
type Failed struct {
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Use is what was, or was not, signed. Host and user come from a guest.
type Use struct {
	Key         string `json:"key,omitempty"` // name of a deploy key, or comment of one of the user's agent
	Fingerprint string `json:"fingerprint,omitempty"`
	For         string `json:"for"`            // login, signature, or unknown; of what was refused without a look, what it was
	User        string `json:"user,omitempty"` // that is logged in
	Host        string `json:"host,omitempty"` // by a known key, or the fingerprint of an unknown one; empty if nobody knows
	Why         string `json:"why,omitempty"`  // it was refused
}
