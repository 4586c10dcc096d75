package claudestandin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxPrompt bounds the prompt.
const maxPrompt = 16 << 20

// Invocation is one run of the program.
type Invocation struct {
	Args   []string // without the program's name
	Getenv func(string) string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Dir    string
	Root   bool
	// Shell runs a script with bash and returns what it printed, errors included. It returns an error if there is no bash.
	Shell func(ctx context.Context, script string, args []string, stdin string) (output string, status int, err error)
	// Post makes the requests of the scenario model; nil where there is no network.
	Post func(ctx context.Context, url string, header map[string]string, body []byte) (status int, answer []byte, err error)
}

// Output keeps what a command prints, as much of it as the real one shows to a model.
type Output struct{ text []byte }

const maxOutput = 30_000

func (o *Output) Write(p []byte) (int, error) {
	o.text = append(o.text, p[:min(len(p), maxOutput-len(o.text))]...)
	return len(p), nil
}

func (o *Output) String() string { return string(o.text) }

// options are the arguments of Claude Code that the stand-in knows.
type options struct {
	model, system, mcpConfig, prompt string
	maxTurns                         int
	partial                          bool
	interactive                      bool // a person is there: no -p
}

// Main runs the program and returns its exit status.
func Main(ctx context.Context, in Invocation) int {
	opt, err := parse(in)
	if err != nil {
		fmt.Fprintln(in.Stderr, "Error:", err)
		return 1
	}
	if in.Root && in.Getenv("IS_SANDBOX") != "1" {
		fmt.Fprintln(in.Stderr, "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons")
		return 1
	}
	s := &session{Invocation: in, options: opt, out: &stream{to: in.Stdout, model: opt.model, partial: opt.partial}}
	if opt.interactive {
		return s.talk(ctx)
	}
	return s.run(ctx)
}

func parse(in Invocation) (options, error) {
	var opt options
	var format string
	var verbose, print, skip, strict bool
	flags := flag.NewFlagSet("claude-stand-in", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&print, "p", false, "")
	flags.BoolVar(&print, "print", false, "")
	flags.BoolVar(&verbose, "verbose", false, "")
	flags.BoolVar(&skip, "dangerously-skip-permissions", false, "")
	flags.BoolVar(&strict, "strict-mcp-config", false, "")
	flags.BoolVar(&opt.partial, "include-partial-messages", false, "")
	flags.StringVar(&format, "output-format", "text", "")
	flags.StringVar(&opt.model, "model", "claude-stand-in", "")
	flags.StringVar(&opt.system, "append-system-prompt", "", "")
	flags.StringVar(&opt.mcpConfig, "mcp-config", "", "")
	flags.IntVar(&opt.maxTurns, "max-turns", 0, "")
	if err := flags.Parse(in.Args); err != nil {
		return opt, fmt.Errorf("unknown option: %w", err)
	}
	if !print && format == "text" {
		opt.interactive, opt.prompt = true, strings.Join(flags.Args(), " ")
		return opt, nil
	}
	if !print || format != "stream-json" || !verbose {
		return opt, errors.New("the stand-in knows only: -p --output-format stream-json --verbose")
	}
	opt.prompt = strings.Join(flags.Args(), " ")
	if opt.prompt == "" && in.Stdin != nil {
		text, err := io.ReadAll(io.LimitReader(in.Stdin, maxPrompt))
		if err != nil {
			return opt, err
		}
		opt.prompt = string(text)
	}
	if opt.prompt == "" {
		return opt, errors.New("input must be provided either through stdin or as a prompt argument when using --print")
	}
	return opt, nil
}

// session is one run.
type session struct {
	Invocation
	options
	out   *stream
	turns int
	calls int
}

// scenarios by name. Each returns the text of the result.
var scenarios = map[string]func(s *session, ctx context.Context) (string, error){
	"simple": (*session).simple, "tools": (*session).tools, "error": (*session).refused, "heavy": (*session).heavy, "model": (*session).model,
	"silent": func(*session, context.Context) (string, error) { return "", errSilent },
	"crash": func(s *session, _ context.Context) (string, error) {
		io.WriteString(s.Stdout, `{"type":"assistant","mess`)
		return "", errSilent
	},
}

var named = regexp.MustCompile(`(?m)^scenario: (\w+)\s*$`)

// Ways in which a run ends early.
var (
	errSilent   = errors.New("no result")
	errMaxTurns = errors.New("reached maximum number of turns")
)

// scenario is what it does, nil for one that it does not know and has said so.
func (s *session) scenario() func(s *session, ctx context.Context) (string, error) {
	name := s.Getenv("CLAUDE_STAND_IN")
	if m := named.FindStringSubmatch(s.prompt); name == "" && m != nil {
		name = m[1]
	}
	if name == "" {
		name = "model"
	}
	if scenarios[name] == nil {
		fmt.Fprintf(s.Stderr, "Error: there is no scenario %q\n", name)
	}
	return scenarios[name]
}

func (s *session) run(ctx context.Context) int {
	scenario := s.scenario()
	if scenario == nil {
		return 1
	}
	s.out.init(s.Dir)
	if s.Getenv("ANTHROPIC_API_KEY") == "" && s.Getenv("ANTHROPIC_AUTH_TOKEN") == "" && s.Getenv("CLAUDE_CODE_OAUTH_TOKEN") == "" {
		return s.failed("Not logged in · Please run /login", 0, "")
	}
	text, err := scenario(s, ctx)
	var refused *apiError
	switch {
	case errors.Is(err, errSilent):
		return 3
	case errors.Is(err, errMaxTurns):
		s.out.result(map[string]any{"subtype": "error_max_turns", "is_error": true, "num_turns": s.turns, "errors": []string{err.Error()}})
		return 1
	case errors.As(err, &refused):
		return s.failed(refused.message, refused.status, refused.kind)
	case err != nil:
		return s.failed("API Error: "+err.Error(), 0, "")
	}
	s.out.result(map[string]any{"subtype": "success", "is_error": false, "num_turns": s.turns, "result": text, "api_error_status": nil})
	return 0
}

// failed ends as the real one does when the API answers with an error: the subtype still says success.
func (s *session) failed(message string, status int, kind string) int {
	s.out.synthetic(message)
	fields := map[string]any{"subtype": "success", "is_error": true, "num_turns": max(s.turns, 1), "result": message, "api_error_status": nil}
	if status > 0 {
		fields["api_error_status"], fields["api_error_type"] = status, kind
	}
	s.out.result(fields)
	return 1
}

// say is a turn of text.
func (s *session) say(text string) {
	s.turns++
	s.out.message([]block{{"type": "text", "text": text}}, usage{Input: 100, Output: uint64(len(text)/4 + 1)})
}

// call is a turn that calls a tool, and the tool's result.
func (s *session) call(ctx context.Context, tool string, input map[string]any) (string, error) {
	if s.maxTurns > 0 && s.turns >= s.maxTurns {
		return "", errMaxTurns
	}
	s.turns++
	s.calls++
	id := fmt.Sprintf("toolu_%d", s.calls)
	s.out.message([]block{{"type": "tool_use", "id": id, "name": tool, "input": input}}, usage{Input: 100, Output: 20})
	output, failed := s.execute(ctx, tool, input)
	s.out.toolResult(id, output, failed)
	if failed {
		return output, fmt.Errorf("%s: %s", tool, output)
	}
	return output, nil
}

// execute runs a tool. Like the real one it goes on when there is no shell, and says so to nobody but the model.
func (s *session) execute(ctx context.Context, tool string, input map[string]any) (output string, failed bool) {
	text := func(name string) string { v, _ := input[name].(string); return v }
	var status int
	var err error
	switch tool {
	case "Bash":
		output, status, err = s.Shell(ctx, text("command"), nil, "")
	case "Write":
		output, status, err = s.Shell(ctx, `mkdir -p "$(dirname "$1")" && cat > "$1"`, []string{text("file_path")}, text("content"))
		if output == "" {
			output = "File created successfully at: " + text("file_path")
		}
	case "Read":
		output, status, err = s.Shell(ctx, `cat "$1"`, []string{text("file_path")}, "")
	default:
		return "<tool_use_error>Error: No such tool available: " + tool + "</tool_use_error>", true
	}
	if err != nil {
		return "No suitable shell found. Claude CLI requires a Posix shell environment.", true
	}
	return strings.TrimRight(output, "\n"), status != 0
}
