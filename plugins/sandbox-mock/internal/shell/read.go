package shell

import (
	"context"
	"io"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// read is the builtin. The interpreter's own takes a line of any length, so the line is read here, within bounds, and handed to
// it as a here string. It returns the command that takes the place of args.
func (s *script) read(hc interp.HandlerContext, process *Process, args []string) []string {
	if process.fed.Swap(false) || hc.Stdin == nil {
		return args
	}
	raw := false
	for _, a := range args[1:] {
		raw = raw || strings.HasPrefix(a, "-") && strings.Contains(a, "r")
	}
	process.clock.wait()
	line, ended := readLine(process.Ctx, hc.Stdin, raw, s.limits(hc.Env).Memory())
	process.clock.resume()
	words := make([]string, 0, len(args)+1)
	for _, a := range append(args[:len(args):len(args)], strings.ReplaceAll(line, "\x00", "")) {
		quoted, err := syntax.Quote(a, syntax.LangBash)
		if err != nil {
			return []string{"false"}
		}
		words = append(words, quoted)
	}
	last := len(words) - 1
	command := strings.Join(words[:last], " ") + " <<< " + words[last]
	if ended {
		command += "; " + callExit + " 1"
	}
	process.fed.Store(true)
	return []string{"eval", command}
}

// readLine reads up to a newline, which it drops, byte by byte since what follows is not ours. Unless raw, a backslash makes the
// newline after it part of the line. ended tells of the end of the input, or of a line beyond limit.
func readLine(ctx context.Context, r io.Reader, raw bool, limit uint64) (line string, ended bool) {
	defer unblock(ctx, r)()
	var b strings.Builder
	one := make([]byte, 1)
	escaped := false
	for uint64(b.Len()) <= limit {
		n, err := r.Read(one)
		if n == 0 {
			if err != nil {
				return b.String(), true
			}
			continue
		}
		if one[0] == '\n' && !escaped {
			return b.String(), false
		}
		escaped = !raw && one[0] == '\\' && !escaped
		b.WriteByte(one[0])
	}
	return "", true
}
