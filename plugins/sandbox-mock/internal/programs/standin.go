package programs

import (
	"context"
	"strings"

	"github.com/voidbox-run/voidbox/internal/claudestandin"
)

// claudeStandIn is the command-line agent of tests. It has no network, as nothing here has.
func claudeStandIn(p *Proc) int {
	return claudestandin.Main(p.Ctx, claudestandin.Invocation{
		Args: p.Args[1:], Getenv: func(name string) string { return p.Env[name] }, Stdin: p.Stdin, Stdout: p.out(), Stderr: p.Stderr,
		Dir: p.Dir, Root: p.User.UID == 0, Shell: p.bash,
	})
}

// bash runs a script and returns what it printed.
func (p *Proc) bash(_ context.Context, script string, args []string, stdin string) (string, int, error) {
	if _, err := p.Sys.Look(p, "bash"); err != nil {
		return "", 0, err
	}
	var output claudestandin.Output
	inner := *p
	inner.Stdin, inner.Stdout, inner.Stderr = strings.NewReader(stdin), &output, &output
	status := p.Sys.Run(&inner, append([]string{"bash", "-c", script, "bash"}, args...), p.Env)
	return output.String(), status, nil
}
