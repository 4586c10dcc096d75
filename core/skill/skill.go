package skill

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill/mcp"
	"github.com/voidbox-run/voidbox/core/skill/remote"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/skill"
)

// Kinds that are built in.
const (
	KindFile   = "file"
	KindInline = "inline"
	KindRemote = "remote"
	KindMCP    = "mcp"
	KindCLI    = "cli"
	KindAgent  = "agent"
)

// Limits of a skill, so that a wrong path does not copy a home directory into a guest.
const (
	MaxFiles       = remote.MaxFiles
	MaxBytes       = remote.MaxBytes
	maxName        = 64
	maxDescription = 1024
)

// Skill is a skill that is ready to be provisioned.
type Skill struct {
	Name        string // a-z, 0-9 and dashes; also its directory
	Description string // what it is for, in a sentence
	Files       []File // SKILL.md among them; none of a skill that is nothing but tools
	Servers     []mcp.Server
	Program     *Program    // that must be in the sandbox
	Tools       []llm.Tool  // that Call calls
	Agent       *plan.Agent `json:"-"` // that tasks can be given to
	AgentName   string

	source skill.Skill // of Tools
}

// File is a file of a skill.
type File struct {
	Path    string // within the skill's directory
	Content []byte
	Mode    fs.FileMode
}

// main is the file that every skill has.
const main = "SKILL.md"

// Dir is where the skills of a home directory stand.
func Dir(home string) string { return path.Join(home, ".agents", "skills") }

// File is the path of the skill's SKILL.md for a home directory.
func (s Skill) File(home string) string { return path.Join(Dir(home), s.Name, main) }

// NativeOnly says what it is about a skill that only the native loop can use; empty when a command-line agent can, too.
func (s Skill) NativeOnly() string {
	for _, server := range s.Servers {
		if server.Host {
			return "is an MCP server that is reached from the host"
		}
	}
	switch {
	case len(s.Tools) > 0:
		return "has tools on the host"
	case s.Agent != nil:
		return "is another agent"
	}
	return ""
}

// Sources are where skills come from that are not on the host.
type Sources struct {
	Store  remote.Store                                                  // keeps what is fetched
	Plugin func(ctx context.Context, d *plan.Skill) (skill.Skill, error) // starts a plugin; nil means that there are none
}

// Load reads skills from the host, fetches those that lie elsewhere, and checks them. Two skills with one name are an error.
func Load(ctx context.Context, declared []*plan.Skill, from Sources) ([]Skill, error) {
	var skills []Skill
	taken := map[string]string{}
	for _, d := range declared {
		s, err := load(ctx, d, from)
		if err != nil {
			return nil, fmt.Errorf("skill %s.%s: %w", d.Plugin, d.Label, err)
		}
		if other, ok := taken[s.Name]; ok {
			return nil, errdef.New(errdef.ErrInvalid, "skills %s and %s are both called %q", other, d.Label, s.Name).
				WithRemedy("give one of them another name in its front matter")
		}
		taken[s.Name] = d.Label
		skills = append(skills, s)
	}
	return skills, nil
}

func load(ctx context.Context, d *plan.Skill, from Sources) (Skill, error) {
	switch d.Plugin {
	case KindInline:
		return fromText(d, []byte(d.Content))
	case KindFile:
		return fromHost(d)
	case KindRemote:
		return fromElsewhere(ctx, d, from.Store)
	case KindMCP:
		return server(d)
	case KindCLI:
		return program(d)
	case KindAgent:
		return colleague(d)
	}
	if from.Plugin == nil {
		return Skill{}, errdef.New(errdef.ErrUnsupported, "there is no skill kind %q", d.Plugin).
			WithRemedy("the kinds are %s", strings.Join([]string{KindFile, KindInline, KindRemote, KindMCP, KindCLI, KindAgent}, ", "))
	}
	return fromPlugin(ctx, d, from.Plugin)
}

// fromElsewhere fetches a skill and reads the directory that came of it.
func fromElsewhere(ctx context.Context, d *plan.Skill, store remote.Store) (Skill, error) {
	source, err := remote.Parse(d.Source, d.Ref, d.Hash)
	if err != nil {
		return Skill{}, err
	}
	dir, err := remote.Fetch(ctx, source, store)
	if err != nil {
		return Skill{}, err
	}
	here := *d
	here.Path = dir
	return fromDir(&here)
}

// fromText makes a skill of one document. Its front matter is made up where it is missing.
func fromText(d *plan.Skill, text []byte) (Skill, error) {
	head, body, err := split(text)
	if err != nil {
		return Skill{}, err
	}
	s := Skill{Name: head.Name, Description: oneLine(head.Description)}
	if s.Name == "" {
		s.Name = nameOf(d.Label)
	}
	if d.Description != "" {
		s.Description = oneLine(d.Description)
	}
	if s.Description == "" {
		s.Description = firstSentence(body)
	}
	if err := s.check(); err != nil {
		return Skill{}, err
	}
	content := text
	if head.Name != s.Name || oneLine(head.Description) != s.Description {
		if content, err = head.rewritten(s, body); err != nil {
			return Skill{}, err
		}
	}
	s.Files = []File{{Path: main, Content: content, Mode: 0o644}}
	return s, nil
}

var nameSyntax = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (s Skill) check() error {
	if err := s.checkName(); err != nil {
		return err
	}
	if s.Description == "" {
		return errdef.New(errdef.ErrInvalid, "it has no description").
			WithRemedy("add description = \"...\" to the skill, or front matter with a description to its file")
	}
	if n := len([]rune(s.Description)); n > maxDescription {
		return errdef.New(errdef.ErrInvalid, "its description has %d characters, at most %d are allowed", n, maxDescription)
	}
	return nil
}

func (s Skill) checkName() error {
	if len(s.Name) > maxName || !nameSyntax.MatchString(s.Name) {
		return errdef.New(errdef.ErrInvalid, "the name %.80q must be 1 to %d characters of a-z, 0-9 and single dashes", s.Name, maxName)
	}
	return nil
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// nameOf makes a skill's name of a block's label.
func nameOf(label string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(label), "-"), "-")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
