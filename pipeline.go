package voidbox

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/run"
)

// LLM names a model provider and its settings.
type LLM struct {
	plugin, model string
	settings      map[string]any
	secrets       []plan.Secret
}

// NewLLM describes a provider: the name of its plugin, such as replay, and the arguments that its block would have.
func NewLLM(plugin string, settings map[string]any) LLM {
	return LLM{plugin: plugin, settings: settings}
}

// Model chooses the model.
func (l LLM) Model(name string) LLM { l.model = name; return l }

// Secret sets an argument that is to be seen nowhere: its value is taken out of events, results and logs.
func (l LLM) Secret(argument, value string) LLM {
	settings := map[string]any{argument: value}
	for k, v := range l.settings {
		if k != argument {
			settings[k] = v
		}
	}
	l.settings = settings
	l.secrets = append(l.secrets[:len(l.secrets):len(l.secrets)], plan.Secret{Name: argument, Value: value})
	return l
}

// Input is what a stage gets from the stages before it: their outputs by name, in the order in which they were added.
type Input struct {
	names   []string
	outputs map[string]string
}

// Names lists the stages.
func (in Input) Names() []string { return in.names }

// Output returns what a stage produced.
func (in Input) Output(stage string) string { return in.outputs[stage] }

// Text merges the outputs: the only one as it is, several under the names of their stages.
func (in Input) Text() string {
	if len(in.names) == 1 {
		return in.outputs[in.names[0]]
	}
	var b strings.Builder
	for i, name := range in.names {
		if i > 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "## %s\n%s", name, in.outputs[name])
	}
	return b.String()
}

// Agent is a prompt, skills and a model bound to a sandbox. Its methods return changed copies.
type Agent struct {
	name    string
	sandbox plan.Sandbox
	llm     LLM
	skills  []*plan.Skill
	system  string
	prompt  func(Input) string
	tools   []string
	mode    string
	file    string // whose content is the output
	keeps   []string
	takes   string // directory for what the stages before have left; empty means none
	turns   int
	budget  plan.Budget
	timeout time.Duration
	retry   plan.Retry

	toolTime time.Duration
	secrets  []plan.Secret
}

// NewAgent starts the description of an agent, in a sandbox of the built-in image.
func NewAgent(name string) Agent {
	return Agent{name: name, sandbox: NewSandbox().spec}
}

// In chooses the sandbox. Each run of the agent gets a clean one.
func (a Agent) In(s RunnableSandbox) Agent { a.sandbox = s.spec; return a }

// LLM chooses the model provider.
func (a Agent) LLM(l LLM) Agent { a.llm = l; return a }

// Prompt sets what the agent is asked to do. Outputs of earlier stages are appended to it.
func (a Agent) Prompt(text string) Agent {
	return a.PromptFrom(func(in Input) string {
		if len(in.names) == 0 {
			return text
		}
		return text + "\n\n" + in.Text()
	})
}

// PromptFrom makes the prompt from the outputs of earlier stages.
func (a Agent) PromptFrom(fn func(Input) string) Agent { a.prompt = fn; return a }

// System sets the system prompt.
func (a Agent) System(text string) Agent { a.system = text; return a }

// SkillFile lends the agent a skill: a markdown file of the host.
func (a Agent) SkillFile(name, path string) Agent {
	return a.skill(&plan.Skill{Block: plan.Block{Plugin: "file", Label: name}, Path: path})
}

// SkillText lends the agent a skill, and says when to use it.
func (a Agent) SkillText(name, description, text string) Agent {
	return a.skill(&plan.Skill{Block: plan.Block{Plugin: "inline", Label: name}, Description: description, Content: text})
}

func (a Agent) skill(s *plan.Skill) Agent {
	a.skills = append(a.skills[:len(a.skills):len(a.skills)], s)
	return a
}

// Tools chooses the tools of the native loop: bash, read, write, edit, and those of skills, such as mcp__files__*. Without a call there are all, after Tools() none.
func (a Agent) Tools(names ...string) Agent { a.tools = append([]string{}, names...); return a }

// Mode says who drives the model: native, voidbox on the host; cli, the provider's own command line in the guest; or auto, whichever the
// provider prefers.
func (a Agent) Mode(mode string) Agent { a.mode = mode; return a }

// OutputFile makes the content of a file of the guest the output, instead of the agent's last text.
func (a Agent) OutputFile(path string) Agent { a.file = path; return a }

// Artefacts names files and directories of the guest that are kept, and that the next agents can get with Files. Result.Stages says where
// they are; without RunDir they go with the run.
func (a Agent) Artefacts(paths ...string) Agent { a.keeps = paths; return a }

// Files puts what the stages before have left into a directory of the guest: that of an only one as it is, that of several below their
// names.
func (a Agent) Files(dir string) Agent { a.takes = dir; return a }

// MaxTurns bounds the turns of the native loop.
func (a Agent) MaxTurns(n int) Agent { a.turns = n; return a }

// Budget bounds tokens, money in US dollars and time of one run. Zero means unlimited.
func (a Agent) Budget(tokens uint64, usd float64, limit time.Duration) Agent {
	a.budget = plan.Budget{Tokens: tokens, USD: usd, Time: limit}
	return a
}

// Timeout bounds the agent's stage, the boot of its sandbox included.
func (a Agent) Timeout(d time.Duration) Agent { a.timeout = d; return a }

// Retry tries a failed run again, after a pause that doubles each time.
func (a Agent) Retry(attempts int, backoff time.Duration) Agent {
	a.retry = plan.Retry{Attempts: attempts, Backoff: backoff}
	return a
}

// Run runs the agent alone.
func (a Agent) Run(ctx context.Context) (*Result, error) { return NewPipeline(a.name).Pipe(a).Run(ctx) }

// Pipeline is a graph of agents, built from its start. Its methods change it.
type Pipeline struct {
	plan    plan.Pipeline
	last    []string // stages whose outputs the next ones get
	llms    []*plan.LLM
	secrets []plan.Secret
	onEvent func(event.Event)
	runDir  string
	err     error
}

// NewPipeline starts a pipeline without stages.
func NewPipeline(name string) *Pipeline { return &Pipeline{plan: plan.Pipeline{Name: name}} }

// Pipe adds an agent that gets the outputs of the stage, or the stages, before it.
func (p *Pipeline) Pipe(a Agent) *Pipeline { return p.FanOut(a) }

// FanOut adds agents that run side by side. Each gets the outputs of what came before; what comes next gets all of theirs.
func (p *Pipeline) FanOut(agents ...Agent) *Pipeline {
	before := p.last
	p.last = nil
	for _, a := range agents {
		p.add(a, before)
	}
	return p
}

// MaxParallel bounds how many stages run at once.
func (p *Pipeline) MaxParallel(n int) *Pipeline { p.plan.MaxParallel = n; return p }

// OnEvent is told of everything as it happens, with the stage's name in each event. It must not keep the caller waiting.
func (p *Pipeline) OnEvent(fn func(event.Event)) *Pipeline { p.onEvent = fn; return p }

// RunDir writes events and result into a directory.
func (p *Pipeline) RunDir(path string) *Pipeline { p.runDir = path; return p }

func (p *Pipeline) add(a Agent, needs []string) {
	for _, s := range p.plan.Stages {
		if s.Name == a.name && p.err == nil {
			p.err = fmt.Errorf("pipeline %s has two stages named %s", p.plan.Name, a.name)
		}
	}
	if (a.llm.plugin == "" || a.prompt == nil) && p.err == nil {
		p.err = fmt.Errorf("agent %s needs a model and a prompt: call LLM and Prompt", a.name)
	}
	settings, err := json.Marshal(a.llm.settings)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("agent %s: settings of its model: %w", a.name, err)
	}
	if a.llm.settings == nil {
		settings = []byte("{}")
	}
	llm := p.sharedLLM(&plan.LLM{Block: plan.Block{Plugin: a.llm.plugin, Label: a.llm.plugin, Config: settings}, Model: a.llm.model})
	p.secrets = append(append(p.secrets, a.llm.secrets...), a.secrets...)
	sandbox := a.sandbox
	bound := &plan.AgentRun{
		Agent: a.name, Sandbox: &sandbox, LLM: llm, Skills: a.skills, Model: a.llm.model, System: a.system, MaxTurns: a.turns, Budget: a.budget,
		Tools: a.tools, Mode: a.mode, OutputFile: a.file, Artefacts: a.keeps,
		ToolTimeout: a.toolTime,
	}
	p.last = append(p.last, a.name)
	p.plan.Stages = append(p.plan.Stages, &plan.Stage{
		Name: a.name, Needs: needs, Retry: a.retry, Timeout: a.timeout,
		Agent: &plan.Agent{Name: a.name, Sandbox: &sandbox, LLM: llm, Skills: a.skills},
		Bind: func(results plan.Results) (*plan.AgentRun, error) {
			run := *bound
			run.Prompt = a.prompt(inputOf(needs, results))
			run.Files = filesOf(needs, results, a.takes)
			return &run, nil
		},
	})
}

// sharedLLM returns an equal provider that is there already, so that agents with one provider share its plugin.
func (p *Pipeline) sharedLLM(l *plan.LLM) *plan.LLM {
	for _, other := range p.llms {
		if other.Plugin == l.Plugin && other.Model == l.Model && string(other.Config) == string(l.Config) {
			return other
		}
	}
	p.llms = append(p.llms, l)
	return l
}

func inputOf(needs []string, results plan.Results) Input {
	in := Input{names: needs, outputs: map[string]string{}}
	for _, name := range needs {
		in.outputs[name] = results[name].Output
	}
	return in
}

func filesOf(needs []string, results plan.Results, dir string) []plan.Files {
	var files []plan.Files
	for _, name := range needs {
		from, to := results[name].Artefacts, dir
		if dir == "" || from == "" {
			continue
		}
		if len(needs) > 1 {
			to = path.Join(dir, name)
		}
		files = append(files, plan.Files{From: from, To: to})
	}
	return files
}

// Result is what a run produced: text of the last stage, results of all stages, totals of tokens and money.
type Result = run.Result

// Run executes the pipeline. The result is meaningful with an error too.
func (p *Pipeline) Run(ctx context.Context) (*Result, error) {
	if p.err != nil {
		return nil, p.err
	}
	host, agent, err := openHost()
	if err != nil {
		return nil, err
	}
	defer host.Close(context.WithoutCancel(ctx))
	cfg := run.Config{
		Plan: &plan.Plan{Name: p.plan.Name, Pipelines: []*plan.Pipeline{&p.plan}, LLMs: p.llms, Secrets: p.secrets},
		Host: run.Plugins(host), Agent: agent, RunDir: p.runDir, NoRunDir: p.runDir == "",
	}
	if p.onEvent != nil {
		cfg.Sinks = []event.Sink{event.SinkFunc(p.onEvent)}
	}
	r, err := run.New(cfg)
	if err != nil {
		return nil, err
	}
	result, err := r.Run(ctx)
	return &result, err
}
