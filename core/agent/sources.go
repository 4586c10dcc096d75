package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"

	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/core/skill/mcp"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// A source is a skill that brings tools of its own.
type source interface {
	// tools are those that it has now, and notes what the user is to know about them.
	tools(ctx context.Context) (tools []tool, notes []string)
	// instructions are for the system prompt.
	instructions() string
	io.Closer
}

// openSources opens the sources of tools, side by side, and returns once all are ready.
func (s *session) openSources(ctx context.Context) ([]source, error) {
	servers := skill.Servers(s.Skills)
	sources, errs := make([]source, len(servers)), make([]error, len(servers))
	var opening sync.WaitGroup
	for i, server := range servers {
		opening.Go(func() {
			c, err := mcp.Open(ctx, server, mcp.Ways{Sandbox: s.launch, Dial: mcp.Through(s.Sandbox.Dial)})
			if err != nil {
				errs[i] = err
				return
			}
			sources[i] = &serverTools{name: server.Name, client: c}
		})
	}
	opening.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, open := range sources {
			if open != nil {
				open.Close()
			}
		}
		return nil, first(errs)
	}
	for _, sk := range s.Skills {
		switch {
		case sk.Agent != nil:
			sources = append(sources, &delegation{session: s, skill: sk})
		case len(sk.Tools) > 0:
			sources = append(sources, &pluginTools{skill: sk})
		}
	}
	return sources, nil
}

// first is the first error of a list that is one.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// launch runs a server's program in the sandbox, as the agent's commands run.
func (s *session) launch(ctx context.Context, server mcp.Server, stdio sandbox.IO) (sandbox.Exit, error) {
	env := map[string]string{}
	for _, vars := range []map[string]string{s.Agent.Sandbox.Env, server.Env} {
		for k, v := range vars {
			env[k] = v
		}
	}
	return s.Sandbox.Exec(ctx, sandbox.Command{Args: server.Command, Env: env, Dir: s.dir, User: s.user(), Limits: s.limits()}, stdio)
}

// refresh asks the sources for their tools and picks those that the model may call.
func (t *toolbox) refresh(ctx context.Context, rec *recorder) {
	t.all = t.own[:len(t.own):len(t.own)]
	taken := map[string]bool{}
	for _, own := range t.own {
		taken[own.name] = true
	}
	for _, src := range t.sources {
		tools, notes := src.tools(ctx)
		for _, note := range notes {
			rec.warn(note, "")
		}
		for _, foreign := range tools {
			if len(t.all) == llm.MaxTools || taken[foreign.name] {
				continue
			}
			taken[foreign.name] = true
			t.all = append(t.all, foreign)
		}
	}
	t.tools = pick(t.all, t.wanted)
}

// close ends the sources, side by side.
func (t *toolbox) close() {
	var closing sync.WaitGroup
	for _, src := range t.sources {
		closing.Go(func() { src.Close() })
	}
	closing.Wait()
}

// bounded keeps head and tail of a text, as of a command's output.
func (t *toolbox) bounded(text string) string {
	out := newHeadTail(t.outputBytes)
	io.WriteString(out, text)
	return out.String()
}

// serverTools are the tools of an MCP server.
type serverTools struct {
	name   string
	client *mcp.Client
}

func (s *serverTools) Close() error { return s.client.Close() }

func (s *serverTools) instructions() string { return s.client.Instructions() }

func (s *serverTools) tools(ctx context.Context) ([]tool, []string) {
	listed, notes := s.client.Tools(ctx)
	for i, note := range notes {
		notes[i] = fmt.Sprintf("MCP server %s: %s", s.name, note)
	}
	var tools []tool
	for _, l := range listed {
		tools = append(tools, tool{
			name: ForeignName("mcp__"+s.name+"__", l.Name), description: clean(l.Description), schema: l.Schema,
			call: func(ctx context.Context, t *toolbox, arguments json.RawMessage) (string, error) {
				result, err := s.client.Call(ctx, l.Name, arguments, t.deadline)
				switch {
				case ctx.Err() != nil:
					return "", context.Cause(ctx)
				case err != nil:
					return "", failure("%s", clean(err.Error()))
				case result.Error:
					return "", failure("%s", t.bounded(result.Text))
				}
				return t.bounded(result.Text), nil
			},
		})
	}
	return tools, notes
}

// maxToolName is how long a tool's name may be, for the providers.
const maxToolName = 64

var notInToolName = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// ForeignName is the name by which the model knows a skill's tool: that of Claude Code for a server's, mcp__SERVER__TOOL, so that a
// prompt reads the same in either mode. A name that providers would refuse is changed, and made unmistakable by a hash of what it was.
func ForeignName(prefix, name string) string {
	whole := prefix + name
	fit := notInToolName.ReplaceAllString(whole, "_")
	if fit == whole && len(whole) <= maxToolName {
		return whole
	}
	sum := sha256.Sum256([]byte(whole))
	mark := "_" + hex.EncodeToString(sum[:4])
	return fit[:min(len(fit), maxToolName-len(mark))] + mark
}
