package event

// KeyUse is what a program in a guest had, or wanted to have, signed with an SSH key that stays on the host.
type KeyUse struct {
	Sandbox     string `json:"sandbox"`
	Key         string `json:"key,omitempty"` // name of the deploy key, or comment of one of the user's agent
	Fingerprint string `json:"fingerprint,omitempty"`
	For         string `json:"for"`            // login, signature (as of a commit), or unknown; else what was asked for in place of a signature
	User        string `json:"user,omitempty"` // that is logged in
	Host        string `json:"host,omitempty"` // that is logged in to; the fingerprint of its key where that is not known
}
