package run

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/cassette"
	"github.com/voidbox-run/voidbox/core/control"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/pipeline"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/price"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/kvmhost"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Config says what is run, with what, and where it reports to.
type Config struct {
	Plan   *plan.Plan
	Target string // pipeline.x, agent.x or sandbox.x; empty picks the only one
	Host   Host
	Images *image.Cache // kernels and initramfs; nil opens the default cache when a VM needs it
	Agent  string       // path of the guest agent; empty means the one beside the running program
	Broker string       // path of voidbox, which holds credentials as `voidbox broker`; empty means the running one, or the one beside it
	Sinks  []event.Sink // receive events without secrets

	// RunDir is the directory to write the run to. Empty means one below observe.DefaultDir; NoRunDir means none.
	RunDir   string
	NoRunDir bool
	// Resume is the directory of a run of the same target that this one goes on with: stages that succeeded there, and that nothing
	// has changed of, do not run again. Empty means none.
	Resume string
	// Source says, in the run directory, how to load the plan again.
	Source observe.Source
	// Overlays is where what guests write to mounts of mode overlay is kept. Empty means the run directory; without one it goes
	// with the sandbox.
	Overlays string
	// Keep keeps the sandboxes of finished stages alive until the end of the context, for a look at them.
	Keep bool
	// Terminal is that of the user, for interactive agents; one at a time has it. Nil means that there is none.
	Terminal agent.Terminal
	// Interactive makes the target's only agent one that the user talks to.
	Interactive bool
	Version     string // of voidbox, for the record
	// Capture is where packets of the guests' networks go.
	Capture Capture
	// Record is a file for what the providers say, which the plugin llm-replay can play. Empty means none.
	Record string
	// ControlDir is a directory that is private to the user, for the socket by which others speak to the run; see core/control.
	// Empty means that nobody can. It takes a run directory, too.
	ControlDir string

	// Hard ends the clean-up. Its end leaves to the kernel what was not closed in order. Nil never ends.
	Hard context.Context
	// Clock drives retries and time limits of stages; nil means the wall clock.
	Clock pipeline.Clock

	newVM func(context.Context, sandbox.VMConfig) (box, error) // for tests; nil means bootVM
	kvm   func() error                                         // for tests; says why KVM is not usable
}

// cleanUpTime bounds how long everything that belongs to a stage, and to a run, may take to close.
const cleanUpTime = 20 * time.Second

// Result is what a run produced. It is what result.json holds, and free of secrets.
type Result struct {
	Run      string                 `json:"run"`
	Plan     string                 `json:"plan"`
	Target   string                 `json:"target"`
	Status   event.Status           `json:"status"`
	Error    string                 `json:"error,omitempty"`
	Output   string                 `json:"output,omitempty"` // of the only last stage
	Outputs  map[string]any         `json:"outputs,omitempty"`
	Stages   map[string]StageResult `json:"stages,omitempty"` // by stage ID
	Totals   event.Totals           `json:"totals"`           // spent by this run
	Traffic  event.Traffic          `json:"traffic,omitzero"`
	Resumes  string                 `json:"resumes,omitempty"`      // the run that this one went on with
	Reused   event.Totals           `json:"reused_totals,omitzero"` // spent by former runs on what was used again
	Started  time.Time              `json:"started"`
	Duration time.Duration          `json:"duration_ns"`
	Dir      string                 `json:"dir,omitempty"` // the run directory
}

// StageResult is what became of one stage.
type StageResult struct {
	Status    event.Status  `json:"status"`
	Output    string        `json:"output,omitempty"`
	Error     string        `json:"error,omitempty"`
	Because   string        `json:"because,omitempty"` // skipped: the stage that did not succeed
	Attempts  int           `json:"attempts"`
	Model     string        `json:"model,omitempty"`
	Turns     int           `json:"turns"`
	Tools     []string      `json:"tools,omitempty"`
	Totals    event.Totals  `json:"totals"`              // of all attempts
	Traffic   event.Traffic `json:"traffic,omitzero"`    // of all attempts
	Artefacts string        `json:"artefacts,omitempty"` // directory of what it left
	Image     string        `json:"image,omitempty"`     // digest of what its sandbox was made of
	// ReusedFrom is the run whose result this is, and Reused what it spent; then there was no attempt in this one.
	ReusedFrom string        `json:"reused_from,omitempty"`
	Reused     event.Totals  `json:"reused_totals,omitzero"`
	Duration   time.Duration `json:"duration_ns"`
}

// Run is one execution of a plan.
type Run struct {
	cfg    Config
	id     string
	target target
	redact plan.Redactor
	prices price.Table
	tape   *cassette.Recorder // nil without Record
	dir    *observe.RunDir    // nil without one
	former *former            // nil for a run that begins at the beginning
	tty    chan struct{}      // holds a token while an agent has the terminal

	ctx      context.Context // of the run's work; set by Run
	stop     context.CancelCauseFunc
	crew     *crew
	networks networks
	lenders  lenders
	root     event.Scope
	stages   map[string]*stageState
	builds   atomic.Int64 // sandboxes that were made, for names

	homeOnce sync.Once // see home
	homeDir  string
	homeErr  error

	roots sync.Map // digests of images, by stage

	imagesOnce sync.Once
	imagesErr  error

	keptMu sync.Mutex
	kept   []func(context.Context) error
}

// New checks what can be checked without starting anything. Its errors are ConfigErrors.
func New(cfg Config) (*Run, error) {
	if cfg.Plan == nil || cfg.Host == nil {
		return nil, errors.New("run: Config needs a Plan and a Host")
	}
	cfg = cfg.withDefaults()
	t, err := pickTarget(cfg.Plan, cfg.Target)
	if err != nil {
		return nil, &ConfigError{Err: err}
	}
	if err := pipeline.Check(t.stages); err != nil {
		return nil, &ConfigError{Err: err}
	}
	if cfg.Interactive && len(t.stages) != 1 {
		return nil, &ConfigError{Err: errdef.New(errdef.ErrInvalid, "%s has %d agents, and you can talk to one only", t.name, len(t.stages)).
			WithRemedy("choose one with --target agent.NAME, or set interactive = true in those that you want to talk to")}
	}
	if cfg.Capture.Path != "" {
		if err := capturable(t); err != nil {
			return nil, &ConfigError{Err: err}
		}
	}
	r := &Run{cfg: cfg, id: newID(), target: t, redact: plan.NewRedactor(cfg.Plan.Secrets), tty: make(chan struct{}, 1)}
	if cfg.Resume != "" {
		if r.former, err = openFormer(cfg.Resume, t); err != nil {
			return nil, &ConfigError{Err: err}
		}
	}
	return r, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.Hard == nil {
		cfg.Hard = context.Background()
	}
	if cfg.kvm == nil {
		cfg.kvm = kvmhost.Local().Check
	}
	if cfg.newVM == nil {
		cfg.newVM = bootVM
	}
	return cfg
}

// newID returns an ID that sorts by time.
func newID() string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return time.Now().UTC().Format("20060102-150405-") + hex.EncodeToString(b[:])
}

// ID identifies the run; it is also the name of its directory.
func (r *Run) ID() string { return r.id }

// Run executes the plan. It may be called once. The result is meaningful with an error too; the error is a *StageError, a
// *PluginError, a *ConfigError, a *MachineError, a *MainError, or matches context.Canceled.
func (r *Run) Run(ctx context.Context) (Result, error) {
	if err := r.openDir(); err != nil {
		return Result{}, err
	}
	sinks := r.cfg.Sinks
	if r.dir != nil {
		sinks = append([]event.Sink{r.dir}, sinks...)
	}
	r.root = event.NewStream(r.id, observe.Redact(r.redact, sinks...)).Root()
	r.ctx, r.stop = context.WithCancelCause(ctx)
	r.crew = newCrew(r.cfg.Host, r.stop)
	if r.cfg.Record != "" {
		r.tape = cassette.NewRecorder()
	}

	result := Result{Run: r.id, Plan: r.cfg.Plan.Name, Target: r.target.name, Started: time.Now().UTC()}
	if r.dir != nil {
		result.Dir = r.dir.Path()
	}
	if r.former != nil {
		result.Resumes = r.former.run
	}
	if err := r.writeManifest(result); err != nil {
		r.root.Emit(event.Warning{Message: "the run cannot be resumed: " + event.Clean(err.Error())})
	}
	deafen := r.listen(control.Info{Run: r.id, Plan: result.Plan, Target: result.Target, Started: result.Started})
	err := r.execute(&result)
	r.keep(ctx)
	r.cleanUp(deafen)
	r.stop(nil)
	r.cleanUp(r.lenders.close)
	r.cleanUp(r.crew.close)
	r.cleanUp(r.leaveHome)
	return r.finish(result, err)
}

func (r *Run) openDir() (err error) {
	if r.cfg.NoRunDir {
		return nil
	}
	path := r.cfg.RunDir
	if path == "" {
		base, err := observe.DefaultDir()
		if err != nil {
			return err
		}
		path = filepath.Join(base, r.id)
	}
	r.dir, err = observe.CreateRunDir(path)
	return err
}

// execute does the work of the target.
func (r *Run) execute(result *Result) error {
	started := event.RunStarted{Plan: r.cfg.Plan.Name, Version: r.cfg.Version, Stages: []string{}, Resumes: result.Resumes}
	if r.target.pipeline != nil {
		started.Pipeline = r.target.pipeline.Name
	}
	for _, s := range r.target.stages {
		started.Stages = append(started.Stages, s.ID())
	}
	r.root.Emit(started)
	if r.target.sandbox != nil {
		return r.runMain(result)
	}
	return r.runStages(result)
}

// keep waits for the end of ctx and then closes the sandboxes that were kept.
func (r *Run) keep(ctx context.Context) {
	if len(r.kept) == 0 {
		return
	}
	r.root.Emit(event.Warning{Message: fmt.Sprintf("%d sandboxes are kept", len(r.kept)), Remedy: "press Ctrl-C to end them"})
	select {
	case <-ctx.Done():
	case <-r.ctx.Done(): // a plugin died, and with it perhaps a sandbox
	}
	for i := len(r.kept) - 1; i >= 0; i-- {
		r.cleanUp(r.kept[i])
	}
}

// cleanUp closes something in the time that a clean-up has, whatever became of the run.
func (r *Run) cleanUp(close func(context.Context) error) {
	ctx, cancel := context.WithTimeout(r.cfg.Hard, cleanUpTime)
	defer cancel()
	if err := close(ctx); err != nil && r.cfg.Hard.Err() == nil {
		r.root.Emit(event.Warning{Message: "clean up: " + event.Clean(err.Error())})
	}
}

// finish sends the last event and writes the result.
func (r *Run) finish(result Result, err error) (Result, error) {
	result.Duration = time.Since(result.Started)
	switch {
	case err == nil:
		result.Status = event.Succeeded
	case errors.Is(err, context.Canceled):
		result.Status = event.Cancelled
	default:
		result.Status = event.Failed
	}
	if err != nil {
		result.Error = event.Clean(err.Error())
	}
	r.root.Emit(event.RunFinished{
		Status: result.Status, Output: result.Output, Outputs: result.Outputs, Error: result.Error, Remedy: event.Clean(errdef.Remedy(err)),
		Totals: result.Totals, Reused: result.Reused, Traffic: result.Traffic, Took: result.Duration,
	})
	result, writeErr := r.write(result)
	if r.tape != nil {
		writeErr = errors.Join(writeErr, r.tape.Save(r.cfg.Record, r.redact.String))
	}
	if err != nil {
		err = &cleanError{message: r.redact.String(err.Error()), err: err}
	}
	return result, errors.Join(err, writeErr)
}

// write cleans the result of secrets and writes it to the run directory.
func (r *Run) write(result Result) (Result, error) {
	cleaned, err := observe.RedactValue(r.redact, result)
	if err != nil || r.dir == nil {
		return cleaned, err
	}
	return cleaned, errors.Join(r.dir.WriteResult(cleaned), r.dir.Err(), r.dir.Close())
}

// cleanError is an error whose message holds no secret. The chain below it is for errors.Is and errors.As only.
type cleanError struct {
	message string
	err     error
}

func (e *cleanError) Error() string { return e.message }
func (e *cleanError) Unwrap() error { return e.err }
