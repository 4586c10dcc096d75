// Package base holds what every plugin shares, whatever its kind: who it is, the shape of its configuration block, and the
// findings it reports about one.
//
// A plugin describes itself twice with the same words: as JSON on standard output when it is run with the argument
// "describe", so that `voidbox validate` need not start it for real, and over the Base service once it runs.
package base

import (
	"encoding/json"
	"fmt"
)

// Kind names the contract that a plugin serves.
type Kind string

// The kinds of plugin.
const (
	KindVMM     Kind = "vmm"
	KindNetwork Kind = "network"
	KindShare   Kind = "share"
	KindSandbox Kind = "sandbox"
	KindLLM     Kind = "llm"
	KindSkill   Kind = "skill"
)

// Kinds lists every kind.
var Kinds = []Kind{KindVMM, KindNetwork, KindShare, KindSandbox, KindLLM, KindSkill}

// ProtocolVersion is the major version of the contracts; it is negotiated in the handshake.
const ProtocolVersion = 1

// Description says what a plugin is. It is the answer to "describe".
type Description struct {
	Kind             Kind     `json:"kind"`
	Name             string   `json:"name"`
	Version          string   `json:"version"` // semantic version without a leading v
	Description      string   `json:"description,omitempty"`
	ProtocolVersions []int    `json:"protocol_versions"`
	Capabilities     []string `json:"capabilities,omitempty"`
	Schema           Schema   `json:"schema"`
	// Namespaces that the runner should clone for the process where the host allows it: user, mount, pid, net, ipc, uts.
	Namespaces []string `json:"namespaces,omitempty"`
	// Env names variables of the host's environment that the plugin needs. Everything else is withheld.
	Env []string `json:"env,omitempty"`
}

// Schema is the shape of a plugin's configuration block.
type Schema struct {
	Attributes []Attribute   `json:"attributes,omitempty"`
	Blocks     []NestedBlock `json:"blocks,omitempty"`
}

// Attribute is one argument of a block.
type Attribute struct {
	Name string `json:"name"`
	// Type is a type constraint in the language's syntax, such as list(string), or path: a string that names a host file. The
	// core makes a path absolute, starting from the directory of the file that it stands in.
	Type        string          `json:"type"`
	Description string          `json:"description,omitempty"`
	Required    bool            `json:"required,omitempty"`
	Sensitive   bool            `json:"sensitive,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`
}

// NestedBlock is a block within the block. It reaches the plugin as an array of objects under its type name.
type NestedBlock struct {
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Schema      Schema `json:"schema"`
	MinItems    int    `json:"min_items,omitempty"`
	MaxItems    int    `json:"max_items,omitempty"` // 0 means unlimited
}

// Config is what a plugin is configured with.
type Config struct {
	Instance   string          // label of the block, for logs
	JSON       json.RawMessage // the block as an object in the plugin's schema
	RuntimeDir string          // private directory that lives as long as the process
}

// Decode unmarshals the block into v. Unknown arguments are an error, since the core has checked them against the schema.
func (c Config) Decode(v any) error {
	if len(c.JSON) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.JSON, v); err != nil {
		return fmt.Errorf("decode configuration of %s: %w", c.Instance, err)
	}
	return nil
}

// Severity grades a diagnostic.
type Severity int

// Severities.
const (
	Error Severity = iota
	Warning
)

// Diagnostic is a finding about configuration.
type Diagnostic struct {
	Severity Severity
	Summary  string
	Detail   string
	Path     []string // argument within the block; empty means the whole block
}

// Diagnostics is a list of findings. As an error it tells of the first one of severity Error.
type Diagnostics []Diagnostic

// HasErrors tells whether configuration failed.
func (d Diagnostics) HasErrors() bool {
	for _, diag := range d {
		if diag.Severity == Error {
			return true
		}
	}
	return false
}

func (d Diagnostics) Error() string {
	for _, diag := range d {
		if diag.Severity == Error {
			if diag.Detail == "" {
				return diag.Summary
			}
			return diag.Summary + ": " + diag.Detail
		}
	}
	return "no errors"
}
