package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Modes of an agent.
const (
	ModeAuto   = "auto"
	ModeCLI    = "cli"
	ModeNative = "native"
)

// maxOutputFile is the size of the largest file that can be an agent's output.
const maxOutputFile = 4 << 20

// Config is what an agent needs to run.
type Config struct {
	Agent        *plan.AgentRun
	LLM          llm.LLM
	Sandbox      sandbox.Sandbox
	Skills       []skill.Skill
	Events       event.Scope
	Conversation string // identity of this run towards the provider; unique

	// Terminal lets a person talk to a command of the sandbox, until that ends. Nil means that nobody is there.
	Terminal Terminal
	// Lend lets the guest use credentials that a command-line agent needs, without holding them. Nil means that nobody does.
	Lend func(ctx context.Context, wanted []llm.Credential) (Loan, error)
	// Reach lets the guest go to the hosts, host:port each, that a command-line agent needs. Nil means that it may.
	Reach func(ctx context.Context, hosts []string) error
	// Delegate runs another agent for this one, in the same sandbox or another. Nil means that none may be asked.
	Delegate func(ctx context.Context, run *plan.AgentRun) (Report, error)
}

// Terminal connects a command with a person's terminal.
type Terminal func(ctx context.Context, box sandbox.Sandbox, cmd sandbox.Command) (sandbox.Exit, error)

// Loan is what a guest gets in the place of a credential.
type Loan struct {
	BaseURL     string // where the provider is reached by who shows the placeholder
	Placeholder string
}

// Report says what an agent did. It is meaningful after an error too.
type Report struct {
	Output   string
	Mode     string
	Model    string
	Turns    int
	Tools    []string // names of the tools called, in order
	Totals   event.Totals
	Duration time.Duration
}

// Result is the report as later stages see it.
func (r Report) Result() plan.Result {
	return plan.Result{
		Output: r.Output, Model: r.Model, Turns: r.Turns, Tools: r.Tools, Duration: r.Duration,
		InputTokens: r.Totals.InputTokens, OutputTokens: r.Totals.OutputTokens, CostUSD: r.Totals.CostUSD, CostKnown: r.Totals.CostKnown,
	}
}

// session is one run of an agent.
type session struct {
	Config
	rec         *recorder
	meter       meter
	window      window
	delegating  sync.Mutex
	info        sandbox.Info
	description llm.Description
	model       string
	dir         string // working directory
}

// Run runs the agent to its end. Errors are a LimitError, a ModelError, a SandboxError, ErrRefused, ErrCut, the cause of ctx's
// end, or an errdef.Error about the configuration.
func Run(ctx context.Context, cfg Config) (Report, error) {
	start := time.Now()
	if limit := cfg.Agent.Budget.Time; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, &LimitError{Limit: LimitTime, Max: limit.String()})
		defer cancel()
	}
	s := &session{Config: cfg, rec: &recorder{events: cfg.Events}}
	err := s.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what broke because of the end is not worth telling
	}
	return Report{
		Output: s.rec.text, Mode: s.rec.mode, Model: s.rec.model, Turns: s.rec.turns, Tools: s.rec.tools,
		Totals: s.rec.totals, Duration: time.Since(start),
	}, err
}

func (s *session) run(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	drive := s.native
	if s.rec.mode == ModeCLI {
		drive = s.cli
	}
	if err := drive(ctx); err != nil {
		return err
	}
	return s.collect(ctx)
}

// prepare decides on mode and model, checks the budget, and provisions the skills.
func (s *session) prepare(ctx context.Context) (err error) {
	if s.description, err = s.LLM.Describe(ctx); err != nil {
		return &ModelError{Err: err}
	}
	wanted := s.Agent.Mode
	if s.Agent.Interactive {
		if !s.description.Interactive {
			return errdef.New(errdef.ErrUnsupported, "the provider has no command-line agent to talk to").WithRemedy("take interactive out of the agent, or use another provider")
		}
		wanted = ModeCLI
	}
	if s.rec.mode, err = chooseModeFor(s.Skills, wanted, s.description); err != nil {
		return err
	}
	s.model = firstOf(s.Agent.Model, s.Agent.LLM.Model, s.description.DefaultModel)
	s.rec.model = clean(s.model)
	if s.meter, err = newMeter(s.Agent.Budget, s.description, s.model); err != nil {
		return err
	}
	s.window = newWindow(s.description, s.model)
	if s.info, err = s.Sandbox.Info(ctx); err != nil {
		return &SandboxError{Err: fmt.Errorf("look at the sandbox: %w", err)}
	}
	s.dir = firstOf(s.Agent.Sandbox.WorkingDir, s.info.WorkingDir, s.info.Home, "/")
	for _, sk := range s.Skills {
		s.rec.skills = append(s.rec.skills, sk.Name)
	}
	if err := skill.Provision(ctx, s.Sandbox, s.home(), s.user(), s.Skills); err != nil {
		return &SandboxError{Err: fmt.Errorf("provision skills: %w", err)}
	}
	return s.checkPrograms(ctx)
}

// checkPrograms looks for the programs that skills are about, before the model is told of them.
func (s *session) checkPrograms(ctx context.Context) error {
	for _, sk := range s.Skills {
		if sk.Program == nil {
			continue
		}
		as := sandbox.Command{Env: s.Agent.Sandbox.Env, Dir: s.dir, User: s.user(), Limits: s.limits()}
		if err := sk.Program.Check(ctx, s.Sandbox, as); err != nil {
			return fmt.Errorf("skill %s: %w", sk.Name, err)
		}
	}
	return nil
}

// chooseModeFor is chooseMode with skills: what is on the host cannot be reached by a command-line agent.
func chooseModeFor(skills []skill.Skill, wanted string, d llm.Description) (string, error) {
	mode, err := chooseMode(wanted, d)
	if err != nil || mode != ModeCLI {
		return mode, err
	}
	for _, s := range skills {
		if why := s.NativeOnly(); why != "" {
			return "", errdef.New(errdef.ErrUnsupported, "the skill %s %s, which a command-line agent cannot use", s.Name, why).
				WithRemedy(`set mode = "native" in the agent, and use a provider that has it`)
		}
	}
	return mode, nil
}

func chooseMode(wanted string, d llm.Description) (string, error) {
	switch {
	case wanted == ModeCLI && !d.CLI:
		return "", errdef.New(errdef.ErrUnsupported, "the provider has no command-line agent").WithRemedy(`take the line mode = "cli" out of the agent`)
	case wanted == ModeNative && !d.Native:
		return "", errdef.New(errdef.ErrUnsupported, "the provider has no native loop").WithRemedy(`take the line mode = "native" out of the agent`)
	case wanted == ModeCLI || wanted == ModeNative:
		return wanted, nil
	case wanted != "" && wanted != ModeAuto:
		return "", errdef.New(errdef.ErrInvalid, "there is no mode %q", wanted).WithRemedy("the modes are auto, cli and native")
	case d.Native:
		return ModeNative, nil
	case d.CLI:
		return ModeCLI, nil
	}
	return "", errdef.New(errdef.ErrUnsupported, "the provider can drive an agent in no mode")
}

// user is whom commands run as; empty means the sandbox's own default.
func (s *session) user() string {
	if !s.info.Has(sandbox.CapUsers) {
		return ""
	}
	return s.Agent.Sandbox.User
}

func (s *session) home() string { return firstOf(s.info.Home, "/") }

// limits are those of each command.
func (s *session) limits() sandbox.Limits { return sandbox.Limits(s.Agent.Sandbox.Limits) }

// collect replaces the output by the content of the output file, where one is named.
func (s *session) collect(ctx context.Context) error {
	if s.Agent.OutputFile == "" {
		return nil
	}
	name := s.Agent.OutputFile
	if !path.IsAbs(name) {
		name = path.Join(s.dir, name)
	}
	file, err := s.Sandbox.ReadFile(ctx, name, sandbox.Range{Limit: maxOutputFile + 1})
	if errors.Is(err, errdef.ErrNotFound) {
		return errdef.New(errdef.ErrNotFound, "the agent finished without writing its output file %s", name).
			WithRemedy("tell the agent in its prompt to write the file, or take output_file out")
	}
	if err != nil {
		return &SandboxError{Err: fmt.Errorf("read output file %s: %w", name, err)}
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxOutputFile+1))
	if err != nil {
		return &SandboxError{Err: fmt.Errorf("read output file %s: %w", name, err)}
	}
	if len(content) > maxOutputFile {
		return errdef.New(errdef.ErrExhausted, "the output file %s is larger than %d bytes", name, maxOutputFile)
	}
	s.rec.text = clean(string(content))
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
