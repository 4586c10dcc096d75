package sdk

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/sdk/skill"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Plugin says what a program serves. Exactly one of the contract fields is set.
type Plugin struct {
	Name         string // as the configuration selects it: lower case letters, digits and dashes
	Version      string // semantic version without a leading v
	Description  string // one sentence
	Capabilities []string
	// Namespaces that the host should clone for the process where it may: user, mount, pid, net, ipc, uts.
	Namespaces []string
	// Env names variables of the host's environment that the plugin needs. Variables that look like secrets are withheld all the
	// same: a secret comes with the configuration.
	Env    []string
	Schema base.Schema // shape of the plugin's configuration block

	// Configure takes the configuration, once, before the first call of the contract. It may return base.Diagnostics. Nil
	// ignores the configuration.
	Configure func(ctx context.Context, c base.Config) error
	// Drain finishes what the plugin holds. Calls of the contract are refused by then. It runs at most once. Nil does nothing.
	Drain func(ctx context.Context) error

	LLM     llm.LLM
	Network network.Network
	Sandbox sandbox.Provider
	Share   share.Share
	Skill   skill.Skill
	VMM     vmm.VMM
}

// contract is one contract that a Plugin can serve.
type contract struct {
	kind     base.Kind
	set      bool
	register func(grpc.ServiceRegistrar)
}

func (p Plugin) contracts() []contract {
	return []contract{
		{base.KindLLM, p.LLM != nil, func(s grpc.ServiceRegistrar) { llm.Register(s, p.LLM) }},
		{base.KindNetwork, p.Network != nil, func(s grpc.ServiceRegistrar) { network.Register(s, p.Network) }},
		{base.KindSandbox, p.Sandbox != nil, func(s grpc.ServiceRegistrar) { sandbox.RegisterProvider(s, p.Sandbox) }},
		{base.KindShare, p.Share != nil, func(s grpc.ServiceRegistrar) { share.Register(s, p.Share) }},
		{base.KindSkill, p.Skill != nil, func(s grpc.ServiceRegistrar) { skill.Register(s, p.Skill) }},
		{base.KindVMM, p.VMM != nil, func(s grpc.ServiceRegistrar) { vmm.Register(s, p.VMM) }},
	}
}

// contract returns the one that is set.
func (p Plugin) contract() (contract, error) {
	var found []contract
	for _, c := range p.contracts() {
		if c.set {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		return contract{}, fmt.Errorf("exactly one contract must be set in sdk.Plugin, not %d", len(found))
	}
	return found[0], nil
}

var (
	nameSyntax    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)
	versionSyntax = regexp.MustCompile(`^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$`)
)

// check finds mistakes of the author.
func (p Plugin) check() error {
	_, err := p.contract()
	if !nameSyntax.MatchString(p.Name) {
		err = errors.Join(err, fmt.Errorf("name %q: want lower case letters, digits and dashes", p.Name))
	}
	if !versionSyntax.MatchString(p.Version) {
		err = errors.Join(err, fmt.Errorf("version %q: want a semantic version such as 1.0.0", p.Version))
	}
	return err
}

// Describe returns the plugin's answer to "describe".
func (p Plugin) Describe() (base.Description, error) {
	if err := p.check(); err != nil {
		return base.Description{}, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	c, err := p.contract()
	if err != nil {
		return base.Description{}, err
	}
	return base.Description{
		Kind:             c.kind,
		Name:             p.Name,
		Version:          p.Version,
		Description:      p.Description,
		ProtocolVersions: []int{base.ProtocolVersion},
		Capabilities:     p.Capabilities,
		Schema:           p.Schema,
		Namespaces:       p.Namespaces,
		Env:              p.Env,
	}, nil
}

// BinaryName is the name of the file that a plugin is looked for under.
func BinaryName(kind base.Kind, name string) string {
	return strings.Join([]string{"voidbox", string(kind), name}, "-")
}
