package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// stderrBytes is how much of a command-line agent's standard error is kept for the case that it fails.
const stderrBytes = 4 << 10

// cli starts the provider's command-line agent in the sandbox and listens to what it prints.
func (s *session) cli(ctx context.Context) error {
	turns := s.Agent.MaxTurns
	if turns <= 0 {
		turns = plan.DefaultMaxTurns
	}
	req := llm.CLIRequest{
		Prompt: s.Agent.Prompt, System: s.Agent.System, Model: s.model, MaxTurns: turns, Home: s.home(), WorkingDir: s.dir,
		Interactive: s.Agent.Interactive,
	}
	for _, server := range skill.Servers(s.Skills) {
		req.MCPServers = append(req.MCPServers, server.MCPServer)
	}
	p, err := s.LLM.PlanCLI(ctx, req)
	if err != nil {
		return &ModelError{Err: err}
	}
	switch {
	case len(p.Credentials) > 0:
		p, err = s.borrow(ctx, req, p.Credentials)
	case s.Reach != nil:
		err = s.Reach(ctx, p.Hosts)
	}
	if err != nil {
		return err
	}
	if err := s.require(ctx, p.Programs); err != nil {
		return err
	}
	if err := s.requireServers(ctx, req.MCPServers); err != nil {
		return err
	}
	if err := s.writeFiles(ctx, p.Files); err != nil {
		return err
	}
	if s.Agent.Interactive {
		return s.talk(ctx, p)
	}
	return s.listen(ctx, p)
}

// borrow plans again, with the broker in the place of the provider and a placeholder in that of the credential.
func (s *session) borrow(ctx context.Context, req llm.CLIRequest, wanted []llm.Credential) (llm.CLIPlan, error) {
	if s.Lend == nil {
		return llm.CLIPlan{}, errdef.New(errdef.ErrState, "the provider's command-line agent needs the credential %q, and no broker holds it", wanted[0].Name).
			WithRemedy(`set mode = "native" in the agent`)
	}
	loan, err := s.Lend(ctx, wanted)
	if err != nil {
		return llm.CLIPlan{}, err
	}
	req.BaseURL, req.Placeholder = loan.BaseURL, loan.Placeholder
	p, err := s.LLM.PlanCLI(ctx, req)
	if err != nil {
		return p, &ModelError{Err: err}
	}
	return p, nil
}

// require looks for programs, so that their absence is a clear sentence and not a strange failure later.
func (s *session) require(ctx context.Context, programs []string) error {
	for _, program := range programs {
		exit, err := s.Sandbox.Exec(ctx, sandbox.Command{
			Args: []string{"/bin/sh", "-c", `command -v -- "$1"`, "sh", program}, Env: s.Agent.Sandbox.Env, User: s.user(),
		}, sandbox.IO{})
		if err != nil {
			return &SandboxError{Err: fmt.Errorf("look for %s: %w", program, err)}
		}
		if exit.Code != 0 {
			return errdef.New(errdef.ErrNotFound, "the agent's program %q is not in the sandbox", program).
				WithRemedy("use an image that has %s", strings.Join(programs, ", "))
		}
	}
	return nil
}

// requireServers looks for the programs of MCP servers: an agent whose server is missing works on without its tools.
func (s *session) requireServers(ctx context.Context, servers []llm.MCPServer) error {
	for _, server := range servers {
		if len(server.Command) == 0 {
			continue
		}
		if err := s.require(ctx, server.Command[:1]); err != nil {
			return fmt.Errorf("MCP server %s: %w", server.Name, err)
		}
	}
	return nil
}

func (s *session) writeFiles(ctx context.Context, files []llm.File) error {
	for _, f := range files {
		if !path.IsAbs(f.Path) {
			return &ModelError{Err: fmt.Errorf("the provider wants to write %s, which is no absolute path", quote(f.Path))}
		}
		opt := sandbox.WriteOptions{Mode: f.Mode, User: s.user(), Parents: true}
		if _, err := s.Sandbox.WriteFile(ctx, path.Clean(f.Path), opt, bytes.NewReader(f.Content)); err != nil {
			return &SandboxError{Err: fmt.Errorf("write %s: %w", f.Path, err)}
		}
	}
	return nil
}

// listen runs the program and feeds its output to the provider's parser, line by line.
func (s *session) listen(ctx context.Context, p llm.CLIPlan) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	parser, err := s.LLM.ParseCLI(ctx)
	if err != nil {
		return &ModelError{Err: err}
	}
	ear := &ear{session: s}
	lines := &lineWriter{limit: llm.MaxLineBytes, line: func(line []byte) error {
		events, err := parser.Line(line)
		if err != nil {
			return &ModelError{Err: fmt.Errorf("parse what the agent printed: %w", err)}
		}
		return ear.hear(events)
	}}
	stderr := newHeadTail(stderrBytes)
	exit, err := s.Sandbox.Exec(ctx, s.program(p), sandbox.IO{Stdin: bytes.NewReader(p.Stdin), Stdout: stopper{lines, stop}, Stderr: stderr})
	if ctx.Err() == nil && err == nil {
		err = lines.flush()
	}
	last, closeErr := parser.Close()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err == nil && closeErr != nil {
		err = &ModelError{Err: closeErr}
	}
	if err == nil {
		err = ear.hear(last)
	}
	if err != nil {
		return s.execError(err, p.Args[0])
	}
	if lines.dropped > 0 {
		s.rec.warn(fmt.Sprintf("%d lines of the agent were longer than %d bytes and were passed over", lines.dropped, llm.MaxLineBytes), "")
	}
	return ear.verdict(exit, stderr.String())
}

// program is the command-line agent as it is started.
func (s *session) program(p llm.CLIPlan) sandbox.Command {
	env := map[string]string{}
	for _, vars := range []map[string]string{s.Agent.Sandbox.Env, p.Env} {
		maps.Copy(env, vars)
	}
	return sandbox.Command{Args: p.Args, Env: env, Dir: s.dir, User: s.user(), Limits: s.limits()}
}

// talk gives the program the terminal. What is said there is between it and a person: nothing of it is parsed or recorded.
func (s *session) talk(ctx context.Context, p llm.CLIPlan) error {
	if s.Terminal == nil {
		return errdef.New(errdef.ErrState, "the agent is interactive, and there is no terminal")
	}
	s.rec.start(s.model, nil)
	exit, err := s.Terminal(ctx, s.Sandbox, s.program(p))
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err != nil:
		return s.execError(err, p.Args[0])
	case exit.Code != 0:
		return &ModelError{Err: fmt.Errorf("the agent ended with status %d", exit.Code)}
	}
	return nil
}

func (s *session) execError(err error, program string) error {
	var model *ModelError
	var limit *LimitError
	if errors.As(err, &model) || errors.As(err, &limit) {
		return err
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return errdef.New(errdef.ErrNotFound, "the agent's program %q is not in the sandbox", program).WithRemedy("use an image that has it")
	}
	return &SandboxError{Err: fmt.Errorf("run %s: %w", program, err)}
}

// ear takes the events of a command-line agent.
type ear struct {
	session *session
	result  *llm.Result
}

func (e *ear) hear(events []llm.Event) error {
	rec := e.session.rec
	for _, ev := range events {
		if init, ok := ev.(llm.Init); ok {
			rec.start(init.Model, init.Tools)
			continue
		}
		rec.start(e.session.model, nil)
		switch ev := ev.(type) {
		case llm.Text:
			rec.say(ev)
		case llm.ToolCall:
			rec.call(ev.ID, ev.Name, ev.Arguments)
		case llm.ToolResult:
			rec.result(ev, 0)
		case llm.Retry:
			rec.retry(ev)
		case llm.Usage:
			rec.usage(e.session.meter.cost(ev))
			if err := e.session.meter.check(rec.spent()); err != nil {
				return err
			}
		case llm.Result:
			e.result = &ev
		}
	}
	return nil
}

// verdict judges how the program ended. Only its own result event makes a success.
func (e *ear) verdict(exit sandbox.Exit, stderr string) error {
	rec := e.session.rec
	said := strings.TrimSpace(stderr)
	if said != "" {
		said = ": " + said
	}
	if e.result == nil {
		return &ModelError{Err: fmt.Errorf("the agent ended with status %d before it gave a result%s", exit.Code, said)}
	}
	rec.turns = e.result.Turns
	// The result counts the whole run. Single usages are only announcements of it.
	if e.result.Usage != (llm.Usage{}) {
		rec.totals = totalsOf(e.session.meter.cost(e.result.Usage))
	}
	switch {
	case e.result.Error != "":
		return &ModelError{Err: errors.New(prefix(clean(e.result.Error), 4000))}
	case exit.Code != 0:
		return &ModelError{Err: fmt.Errorf("the agent ended with status %d%s", exit.Code, said)}
	}
	if text := clean(e.result.Text); text != "" {
		rec.text = text
	}
	return nil
}

// stopper ends the command with the first error of its writer.
type stopper struct {
	w    *lineWriter
	stop context.CancelCauseFunc
}

func (s stopper) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.stop(err)
	}
	return n, err
}
