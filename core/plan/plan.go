// Package plan is the typed plan of a run: what the language and the Go library both produce, and what package run executes.
//
// A plan is complete and checked: every reference is resolved, every default filled in. What can only be known while the plan
// runs, such as a prompt that quotes an earlier stage, is a function in it (Stage.Bind, Output.Value) over the results so far.
// A plan holds secrets in clear; print only what Redactor has cleaned.
package plan

import (
	"encoding/json"
	"time"
)

// Plan is everything that one file, or one use of the library, declares.
type Plan struct {
	Name      string // for display; the file's name without extension
	Dir       string // directory that relative paths of the plan start from
	Plugins   []Requirement
	Sandboxes []*Sandbox
	LLMs      []*LLM
	Skills    []*Skill
	Agents    []*Agent
	Pipelines []*Pipeline
	Secrets   []Secret // values to redact wherever they turn up
}

// Requirement is a plugin that the plan asks for explicitly.
type Requirement struct {
	Kind, Name string
	Version    string // constraint such as ">= 1.2, < 2"; empty means any
	SHA256     string // hex; empty means not pinned
	Source     string // path of the binary; empty means discovery
	Dev        bool   // Source is under development: no version, hash or lock file applies
}

// Secret is a value that must never be shown.
type Secret struct {
	Name  string
	Value string
}

// Block is the configuration of a plugin, checked against its schema.
type Block struct {
	Plugin string          // name of the plugin
	Label  string          // name of the block
	Config json.RawMessage // as the plugin's Configure takes it; may hold secrets
}

// LLM is a configured model provider.
type LLM struct {
	Block
	Model string // default model of the agents that use it; empty means the provider's
	Price *Price // of that model; nil means what the table of prices says
}

// Price is in US dollars for a million tokens.
type Price struct{ Input, Output, CacheRead, CacheWrite float64 }

// Skill is a configured skill. Its kind is in Block.Plugin: file, inline, remote, mcp, cli and agent are built in.
type Skill struct {
	Block
	Description string
	Path        string // file, cli: host path, made absolute
	Content     string // inline, cli
	Source      string // remote: repository or archive, as the plan writes it
	Ref         string // remote: of a repository
	Hash        string // remote: "h1:..."; empty means not pinned, which no run accepts
	// mcp: a server's program with its environment, or the address of one.
	Command []string
	Env     map[string]string
	URL     string
	Headers map[string]string // of each request to the address
	Host    bool              // the program runs on the host, in Dir, or the address is reached from there; else the sandbox
	Dir     string
	Tools   []string // those of its tools that are wanted; nil means all
	Timeout time.Duration
	// cli: a program of the sandbox, copied there from Path where that is set.
	Program string
	Version string // constraint on what PROGRAM --version says; empty means any
	Agent   *Agent // agent
}

// Backends that are built into the language. Any other name is that of a sandbox or VMM plugin.
const (
	BackendAuto = "auto" // kvm where it is usable, else qemu; never mock
	BackendMock = "mock"
)

// ImageBase is the built-in root file system. Its entrypoint sleeps until the sandbox ends.
const ImageBase = "base"

// Defaults of a sandbox.
const (
	DefaultCPUs         = 1
	DefaultMemoryBytes  = 512 << 20
	DefaultReadyTimeout = 30 * time.Second
)

// Sandbox describes the environment of agents and commands.
type Sandbox struct {
	Name         string
	Backend      string
	Image        string   // ImageBase, or another name of package source, with an absolute path where there is one
	Packages     []string // of Debian, sorted, of which the root file system is made in place of an image; nil means none
	Main         []string // main process; empty means the image's entrypoint
	Args         []string // arguments for the image's entrypoint; only without Main
	Restart      string   // of the main process: never, on-failure or always; empty means never
	Kernel       string   // path; empty means resolved
	Initrd       string   // path; empty means built
	CPUs         int
	MemoryBytes  uint64
	DiskBytes    uint64 // of a disk that takes what the guest writes to its root; 0 means that its memory does
	Hostname     string
	User         string
	WorkingDir   string
	Env          map[string]string
	ReadyTimeout time.Duration // how long the boot may show no progress
	Commands     []string      // programs that commands may start, as boot.CommandRule; empty means all
	Limits       Limits
	Network      *Network // nil means no network at all
	Mounts       []Mount
	DeployKeys   []DeployKey // SSH keys that stay on the host
	SSHAgent     bool        // lend the user's own SSH agent, too
	KnownHosts   []string    // lines of a known_hosts file, beside those of the usual forges
	Settings     *Block      // settings of the backend's plugin; nil means none
	Exposed      []string    // addresses of the secrets that may enter the guest in clear, such as secret.token
}

// Limits bounds each command of a sandbox. Zero means unlimited.
type Limits struct {
	MemoryBytes   uint64
	OpenFiles     uint64
	Processes     uint64
	FileSizeBytes uint64
	CPUTime       time.Duration
}

// DeployKey is an SSH key that programs of the guest can sign with, and cannot read.
type DeployKey struct {
	Name  string
	Path  string   // of the private key on the host, absolute
	Hosts []string // that it may log in at, as host or host:port; empty means that it signs anything
}

// Mount lends a host directory or file to the guest.
type Mount struct {
	Target string
	Source string // absolute
	Mode   string // ro, rw or overlay
	Cache  string // auto or always; empty means auto
}

// Agent is an agent as it was declared: a template that a stage instantiates. What it says may depend on the stage's input,
// and so stands in AgentRun.
type Agent struct {
	Name    string
	Sandbox *Sandbox
	LLM     *LLM
	Skills  []*Skill
	// NeedsInput tells that only a stage can instantiate it.
	NeedsInput bool
	// Bind instantiates the agent without input; nil when NeedsInput.
	Bind func() (*AgentRun, error)
	// Delegate instantiates the agent for a task that another agent gives it; nil when nobody can.
	Delegate func(task string) (*AgentRun, error)
}

// AgentRun is an agent bound to its input: what one stage executes.
type AgentRun struct {
	Agent       string
	Sandbox     *Sandbox
	LLM         *LLM
	Skills      []*Skill
	Model       string // empty means the provider's default
	System      string
	Prompt      string
	Tools       []string      // of the native loop; nil means all
	Mode        string        // auto, cli or native; empty means auto
	Interactive bool          // a person talks to it, on a terminal; then it is a command-line agent
	MaxTurns    int           // 0 means DefaultMaxTurns
	OutputFile  string        // guest path whose content is the output; empty means the agent's last text
	Artefacts   []string      // guest paths of files and directories that are kept, each by its last name
	Files       []Files       // that are put into the sandbox before
	OutputBytes int           // limit of one tool's output; 0 means DefaultOutputBytes
	ToolTimeout time.Duration // of one call of a tool; 0 means DefaultToolTimeout
	Budget      Budget
}

// Files are what an earlier stage left, for the sandbox of a later one.
type Files struct {
	From string // directory of the host: Result.Artefacts of a stage
	To   string // directory of the guest, whose contents they become
}

// Defaults of an agent run.
const (
	DefaultMaxTurns    = 50
	DefaultOutputBytes = 30 << 10
	DefaultToolTimeout = 2 * time.Minute
)

// Budget bounds one agent run. Zero means unlimited.
type Budget struct {
	Tokens uint64
	USD    float64
	Time   time.Duration
}

// Pipeline is a graph of stages. Stages are in an order that respects Needs.
type Pipeline struct {
	Name        string
	MaxParallel int // 0 means unlimited
	Stages      []*Stage
	Outputs     []*Output
}

// Stage is one agent run of a pipeline. A for_each stage appears once for each key.
type Stage struct {
	Name    string   // name of the block
	Key     string   // for_each key; meaningful when Each
	Each    bool     // belongs to a for_each
	Needs   []string // IDs of the stages that must succeed before
	Agent   *Agent
	Retry   Retry
	Timeout time.Duration // 0 means none
	// Bind instantiates the agent over the results of Needs.
	Bind func(Results) (*AgentRun, error)
}

// ID names the stage within its pipeline: name, or name["key"].
func (s *Stage) ID() string {
	if !s.Each {
		return s.Name
	}
	key, _ := json.Marshal(s.Key)
	return s.Name + "[" + string(key) + "]"
}

// Retry says how often a failed stage is tried again.
type Retry struct {
	Attempts int           // in all; 0 and 1 mean once
	Backoff  time.Duration // before the second attempt; doubles each time
}

// Results holds what finished stages produced, by Stage.ID.
type Results map[string]Result

// Result is what a stage produced.
type Result struct {
	Output       string        `json:"output"`
	Model        string        `json:"model,omitempty"`
	Turns        int           `json:"turns"`
	Tools        []string      `json:"tools,omitempty"` // names of the tools called, in order
	InputTokens  uint64        `json:"input_tokens"`
	OutputTokens uint64        `json:"output_tokens"`
	CostUSD      float64       `json:"cost_usd"`
	CostKnown    bool          `json:"cost_known"`
	Duration     time.Duration `json:"duration_ns"`
	// Artefacts is the directory of the host that holds what the agent left; empty without any. It is not part of a record.
	Artefacts string `json:"-"`
}

// Output is a named value of a pipeline.
type Output struct {
	Name      string
	Sensitive bool
	// Value evaluates it over the results of all stages: a string, number, bool, nil, []any or map[string]any.
	Value func(Results) (any, error)
}
