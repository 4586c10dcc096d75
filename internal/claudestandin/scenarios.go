package claudestandin

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
)

func (s *session) simple(context.Context) (string, error) {
	const answer = "Hello from the stand-in."
	s.say(answer)
	return answer, nil
}

// tools answers with what it found, so that an answer proves that the commands ran.
func (s *session) tools(ctx context.Context) (string, error) {
	s.say("I look at the machine.")
	found, err := s.call(ctx, "Bash", map[string]any{"command": "uname -s; id -u; pwd", "description": "Look at the machine"})
	if err != nil {
		return "", err
	}
	file := path.Join(s.Dir, "stand-in.txt")
	if _, err := s.call(ctx, "Write", map[string]any{"file_path": file, "content": "found:\n" + found + "\n"}); err != nil {
		return "", err
	}
	read, err := s.call(ctx, "Read", map[string]any{"file_path": file})
	if err != nil {
		return "", err
	}
	answer := "The file says " + strings.Join(strings.Fields(read), " ")
	s.say(answer)
	return answer, nil
}

func (s *session) refused(context.Context) (string, error) {
	s.out.retry(1, 401, "authentication_failed")
	s.out.retry(2, 401, "authentication_failed")
	return "", &apiError{status: 401, kind: "authentication_error", message: "Invalid API key · Fix external API key"}
}

// Sizes of the heavy scenario.
const (
	heavyCalls = 200
	heavyText  = 512 << 10
)

func (s *session) heavy(ctx context.Context) (string, error) {
	sum := 0
	for i := range heavyCalls {
		io.WriteString(s.Stdout, "not JSON\n{\"type\":\"future\",\"n\":[1]}\n\n")
		output, err := s.call(ctx, "Bash", map[string]any{"command": fmt.Sprintf("echo %d", i)})
		if err != nil {
			return "", err
		}
		sum += len(output)
	}
	s.say(strings.Repeat("Grüße, 世界 🚀 ", heavyText/24))
	answer := fmt.Sprintf("%d calls, %d digits", heavyCalls, sum)
	s.say(answer)
	return answer, nil
}
