package plugintest

import (
	"encoding/json"
	"errors"
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

var cliRequest = llm.CLIRequest{
	Prompt: "plugintest prompt", System: "plugintest system", BaseURL: "http://10.0.2.2:8080", Placeholder: "plugintest-placeholder",
	MaxTurns: 7, Home: "/home/agent", WorkingDir: "/workspace",
}

var cliCases = []llmCase{
	{"plan", func(s *llmSession) {
		p := s.plan(cliRequest)
		for _, f := range p.Files {
			if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
				s.Errorf("file %q is not a clean absolute path", f.Path)
			}
		}
		for name := range p.Env {
			if name == "" || strings.ContainsAny(name, "=\x00") {
				s.Errorf("variable %q", name)
			}
		}
		for _, what := range []string{cliRequest.Prompt, cliRequest.System, cliRequest.BaseURL} {
			if !strings.Contains(everything(p), what) {
				s.Errorf("%q stands nowhere in the plan", what)
			}
		}
		if len(p.Credentials) > 0 && !strings.Contains(everything(p), cliRequest.Placeholder) {
			s.Error("there is a credential, and its placeholder stands nowhere in the plan")
		}
	}},
	{"the same request gives the same plan", func(s *llmSession) {
		if a, b := s.plan(cliRequest), s.plan(cliRequest); !reflect.DeepEqual(a, b) {
			s.Errorf("%+v\n%+v", a, b)
		}
	}},
	{"odd prompts stay whole", func(s *llmSession) {
		for _, prompt := range []string{"--help", "-p", "$(reboot) `x` \"' \\", "two\nlines", strings.Repeat("é", 50_000)} {
			req := cliRequest
			req.Prompt = prompt
			quoted, _ := json.Marshal(prompt)
			if all := everything(s.plan(req)); !strings.Contains(all, prompt) && !strings.Contains(all, string(quoted)) {
				s.Errorf("the prompt %.20q is not in the plan", prompt)
			}
		}
	}},
	{"transcript", func(s *llmSession) {
		events := s.parse(s.opt.Transcript)
		if len(events) < 2 {
			s.Fatalf("%d events for the transcript of the options", len(events))
		}
		if _, ok := events[0].(llm.Init); !ok {
			s.Errorf("the first event is %T", events[0])
		}
		if last, ok := events[len(events)-1].(llm.Result); !ok || last.Error != "" || last.Turns == 0 {
			s.Errorf("the last event is %+v", events[len(events)-1])
		}
		called, calls := map[string]bool{}, 0
		for i, e := range events {
			switch e := e.(type) {
			case llm.ToolCall:
				called[e.ID] = true
				calls++
			case llm.ToolResult:
				if !called[e.CallID] {
					s.Errorf("a result for %q comes before its call", e.CallID)
				}
			case llm.Result:
				if i != len(events)-1 {
					s.Error("events follow the result")
				}
			}
		}
		if calls == 0 {
			s.Error("the transcript of the options holds no tool call")
		}
	}},
	{"unknown lines change nothing", func(s *llmSession) {
		want := s.parse(s.opt.Transcript)
		noise := []string{
			"", " ", "plain text", "\xff\xfe\x00", `{"type":"unknown_of_plugintest","x":[1]}`, `{"type":`, `[]`, `null`, `"text"`, `{}`, `{"type":7}`,
			strings.Repeat("x", llm.MaxLineBytes), strings.Repeat("[", 100_000), `{"type":"` + strings.Repeat("é", 1000) + `"}`,
		}
		var noisy []string
		for i, line := range s.opt.Transcript {
			noisy = append(noisy, noise[i%len(noise)], line)
		}
		if got := s.parse(append(noise, noisy...)); !reflect.DeepEqual(got, want) {
			s.Errorf("with noise\n%+v\nwithout\n%+v", got, want)
		}
	}},
	{"cut lines are survived", func(s *llmSession) {
		for _, line := range s.opt.Transcript {
			for _, n := range []int{0, 1, len(line) / 2, len(line) - 1} {
				s.parse([]string{line[:max(n, 0)]})
			}
		}
		s.parse(nil)
	}},
	{"parsers do not share state", func(s *llmSession) {
		want := s.parse(s.opt.Transcript)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				got, err := parseLines(s, s.opt.Transcript)
				if err != nil || !reflect.DeepEqual(got, want) {
					s.Errorf("%v: %+v", err, got)
				}
			})
		}
		all.Wait()
	}},
	{"lines that are too long are refused", func(s *llmSession) {
		parser, err := s.llm.ParseCLI(s.ctx)
		if err != nil {
			s.Fatal(err)
		}
		defer parser.Close()
		if _, err := parser.Line(make([]byte, llm.MaxLineBytes+1)); err != nil && !errors.Is(err, errdef.ErrInvalid) {
			s.Errorf("got %v", err)
		}
	}},
}

func (s *llmSession) plan(req llm.CLIRequest) llm.CLIPlan {
	s.Helper()
	p, err := s.llm.PlanCLI(s.ctx, req)
	if err != nil {
		s.Fatalf("plan: %v", err)
	}
	if len(p.Args) == 0 {
		s.Fatal("the plan has no command line")
	}
	return p
}

// everything joins what a plan gives to the program.
func everything(p llm.CLIPlan) string {
	parts := append([]string{string(p.Stdin)}, p.Args...)
	for name, value := range p.Env {
		parts = append(parts, name+"="+value)
	}
	for _, f := range p.Files {
		parts = append(parts, string(f.Content))
	}
	return strings.Join(parts, "\n")
}

func (s *llmSession) parse(lines []string) []llm.Event {
	s.Helper()
	events, err := parseLines(s, lines)
	if err != nil {
		s.Fatalf("parse: %v", err)
	}
	return events
}

func parseLines(s *llmSession, lines []string) ([]llm.Event, error) {
	parser, err := s.llm.ParseCLI(s.ctx)
	if err != nil {
		return nil, err
	}
	var all []llm.Event
	for _, line := range lines {
		events, err := parser.Line([]byte(line))
		if err != nil {
			parser.Close()
			return nil, err
		}
		all = append(all, events...)
	}
	events, err := parser.Close()
	return append(all, events...), err
}
