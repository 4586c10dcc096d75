package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// The types of arguments beyond those of the language itself.
const (
	typeSize     = "size"       // "512MiB" or a number of bytes
	typeDuration = "duration"   // "30s"
	typeInteger  = "integer"    // a whole number
	typePath     = "path"       // string; relative paths start at the file's directory
	typeAny      = "any"        // any value
	typeType     = "type"       // a type constraint, such as list(string)
	typeExpr     = "expression" // evaluated when the run gets there
)

// argument is one argument of a block.
type argument struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Doc      string   `json:"description"`
	Required bool     `json:"required,omitempty"`
	Default  string   `json:"default,omitempty"`
	Values   []string `json:"values,omitempty"` // the only values allowed
}

// block is the shape of a block.
type block struct {
	Type      string     `json:"type"`
	Labels    []string   `json:"labels,omitempty"`
	Doc       string     `json:"description"`
	Arguments []argument `json:"arguments,omitempty"`
	Blocks    []*block   `json:"blocks,omitempty"`
	// Free blocks take arguments of any name.
	Free bool `json:"free,omitempty"`
	// PluginKind says which plugins declare further arguments of the block; the plugin is named by the first label, or by
	// the sandbox's backend.
	PluginKind string `json:"plugin_kind,omitempty"`
	MaxItems   int    `json:"max_items,omitempty"` // 0 means unlimited
}

// schema returns the block's shape for HCL.
func (b *block) schema() *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, a := range b.Arguments {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: a.Name, Required: a.Required})
	}
	for _, nested := range b.Blocks {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: nested.Type, LabelNames: nested.Labels})
	}
	return s
}

func (b *block) argument(name string) *argument {
	for i := range b.Arguments {
		if b.Arguments[i].Name == name {
			return &b.Arguments[i]
		}
	}
	return nil
}

// has tells whether a block may stand within b.
func (b *block) has(typ string) bool {
	return slices.ContainsFunc(b.Blocks, func(n *block) bool { return n.Type == typ })
}

// nested returns the shape of a block within b, which must exist.
func (b *block) nested(typ string) *block {
	for _, n := range b.Blocks {
		if n.Type == typ {
			return n
		}
	}
	panic("config: no block " + typ + " in " + b.Type)
}

// Language describes the language, for editors and other tools.
type Language struct {
	Blocks     []*block `json:"blocks"`
	References []string `json:"references"`
	// Results describes the attributes of stage.NAME by name.
	Results   map[string]string `json:"results"`
	Functions []string          `json:"functions"`
}

// LanguageSchema describes the blocks, references and functions of the language. It marshals to JSON.
func LanguageSchema() any {
	return Language{Blocks: root.Blocks, References: referenceForms, Results: resultDocs, Functions: functionNames()}
}

// referenceForms are the ways to refer to something.
var referenceForms = []string{
	"var.NAME", "local.NAME", "secret.NAME", "sandbox.NAME", "llm.PLUGIN.NAME", "skill.KIND.NAME", "agent.NAME",
	"input", "stage.NAME", "stage.NAME[KEY]", "each.key", "each.value",
}
