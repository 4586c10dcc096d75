package claudestandin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// talk is a conversation on a terminal: what it was started with, then a line at a time, until /exit or the end of the input. A line that
// begins with ! runs in a shell, as with the real one.
func (s *session) talk(ctx context.Context) int {
	s.out.to = io.Discard // nobody parses it
	fmt.Fprintln(s.Stdout, "claude-stand-in: /exit ends")
	if s.prompt != "" && !s.answer(ctx, s.prompt) {
		return 1
	}
	in := bufio.NewReader(io.LimitReader(s.Stdin, maxPrompt))
	for {
		fmt.Fprint(s.Stdout, "> ")
		line, err := in.ReadString('\n')
		line = strings.TrimSpace(line)
		switch {
		case line == "/exit":
			fmt.Fprintln(s.Stdout, "bye")
			return 0
		case err != nil:
			return 0
		case line != "" && !s.answer(ctx, line):
			return 1
		}
	}
}

// answer says what the scenario makes of a line; false ends the program.
func (s *session) answer(ctx context.Context, line string) bool {
	if command, ok := strings.CutPrefix(line, "!"); ok {
		output, _, err := s.Shell(ctx, command, nil, "")
		if err != nil {
			output = err.Error()
		}
		fmt.Fprintln(s.Stdout, strings.TrimRight(output, "\n"))
		return true
	}
	s.prompt = line
	scenario := s.scenario()
	if scenario == nil {
		return false
	}
	text, err := scenario(s, ctx)
	if errors.Is(err, errSilent) {
		return false
	}
	if err != nil {
		text = "API Error: " + err.Error()
	}
	fmt.Fprintln(s.Stdout, "● "+text)
	return true
}
