package skill

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// link makes $1 a symbolic link to $2, unless something of that name is there already.
const link = `mkdir -p "${1%/*}" && { [ -e "$1" ] || ln -s "$2" "$1"; }`

// Provision writes skills below a home directory of the sandbox, owned by user (empty means the sandbox's ordinary one).
func Provision(ctx context.Context, sb sandbox.Sandbox, home, user string, skills []Skill) error {
	if !slices.ContainsFunc(skills, func(s Skill) bool { return len(s.Files) > 0 }) {
		return nil
	}
	for _, s := range skills {
		if s.Program == nil {
			continue
		}
		owner := ""
		if user != "" {
			owner = "root"
		}
		if err := s.Program.install(ctx, sb, owner); err != nil {
			return err
		}
	}
	for _, s := range skills {
		for _, f := range s.Files {
			name := path.Join(Dir(home), s.Name, f.Path)
			opt := sandbox.WriteOptions{Mode: f.Mode, User: user, Parents: true}
			if _, err := sb.WriteFile(ctx, name, opt, bytes.NewReader(f.Content)); err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
	}
	at := path.Join(home, ".claude", "skills")
	var said bytes.Buffer
	exit, err := sb.Exec(ctx, sandbox.Command{Args: []string{"/bin/sh", "-c", link, "sh", at, Dir(home)}, User: user},
		sandbox.IO{Stderr: &limited{to: &said, left: 1000}})
	if err != nil {
		return fmt.Errorf("link %s: %w", at, err)
	}
	if exit.Code != 0 {
		return fmt.Errorf("link %s: exit status %d: %s", at, exit.Code, strings.TrimSpace(said.String()))
	}
	return nil
}

// limited keeps the beginning of what is written to it.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	kept := p[:min(len(p), l.left)]
	l.left -= len(kept)
	l.to.Write(kept)
	return len(p), nil
}
