package voidbox

import (
	"maps"
	"os"
	"time"

	"github.com/voidbox-run/voidbox/core/plan"
)

// Skill is something that an agent knows or can use. Its methods return changed copies; see docs/skills for what each kind takes.
type Skill struct {
	spec    plan.Skill
	secrets []plan.Secret
}

func newSkill(kind, name string) Skill {
	return Skill{spec: plan.Skill{Block: plan.Block{Plugin: kind, Label: name}}}
}

// MCPServer is a server of the Model Context Protocol, started in the sandbox: program and arguments.
func MCPServer(name string, command ...string) Skill {
	s := newSkill("mcp", name)
	s.spec.Command = command
	return s
}

// MCPAddress is a server of the Model Context Protocol that is reached over HTTP, through the sandbox's network.
func MCPAddress(name, url string) Skill {
	s := newSkill("mcp", name)
	s.spec.URL = url
	return s
}

// Program is a program of the sandbox, which is looked for before the model is asked. description says what it is for.
func Program(name, description string) Skill { return newSkill("cli", name).About(description) }

// Version is a constraint on what a program says of its version, such as ">= 2.4".
func (s Skill) Version(constraint string) Skill { s.spec.Version = constraint; return s }

// From copies a program of the host into the sandbox.
func (s Skill) From(path string) Skill { s.spec.Path = path; return s }

// OnHost runs or reaches an MCP server on the host: outside of every wall, with the user's rights.
func (s Skill) OnHost() Skill {
	s.spec.Host = true
	s.spec.Dir, _ = os.Getwd() // empty means the same
	return s
}

// Env sets a variable of the environment of an MCP server. On the host its value is kept out of everything that is shown.
func (s Skill) Env(name, value string) Skill {
	s.spec.Env = with(s.spec.Env, name, value)
	return s.secret(name, value)
}

// Header sets a header of the requests to an MCP server that is reached from the host. Its value is kept out of everything that is shown.
func (s Skill) Header(name, value string) Skill {
	s.spec.Headers = with(s.spec.Headers, name, value)
	return s.secret(name, value)
}

// Only chooses some of an MCP server's tools.
func (s Skill) Only(tools ...string) Skill { s.spec.Tools = append([]string{}, tools...); return s }

// Timeout is how long one call of its tools may take.
func (s Skill) Timeout(d time.Duration) Skill { s.spec.Timeout = d; return s }

// About says when to use it.
func (s Skill) About(description string) Skill { s.spec.Description = description; return s }

func (s Skill) secret(name, value string) Skill {
	s.secrets = append(s.secrets[:len(s.secrets):len(s.secrets)], plan.Secret{Name: name, Value: value})
	return s
}

func with(m map[string]string, key, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

// Skill lends the agent a skill.
func (a Agent) Skill(s Skill) Agent {
	if s.spec.Host {
		a.secrets = append(a.secrets[:len(a.secrets):len(a.secrets)], s.secrets...)
	}
	return a.skill(&s.spec)
}

// ToolTimeout is how long one call of a tool may take in the native loop; 2 minutes without.
func (a Agent) ToolTimeout(d time.Duration) Agent { a.toolTime = d; return a }
