package skill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"time"

	"github.com/hashicorp/go-version"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Program is a program that must be in the sandbox.
type Program struct {
	Name    string
	Version string // constraint; empty means any
	Path    string // on the host, from where it is copied; empty means that the image has it
}

// programDir is where programs are copied to. It is in the search path of every sandbox.
const programDir = "/usr/local/bin"

// program makes a skill of a program: what it is for, and how to use it.
func program(d *plan.Skill) (Skill, error) {
	p := &Program{Name: d.Program, Version: d.Version, Path: d.Path}
	if p.Name == "" {
		p.Name = d.Label
	}
	if p.Version != "" {
		if _, err := version.NewConstraint(p.Version); err != nil {
			return Skill{}, errdef.New(errdef.ErrInvalid, "%q is no constraint on a version", p.Version).WithRemedy(`write it such as ">= 2.4, < 3"`)
		}
	}
	if p.Path != "" {
		info, err := os.Stat(p.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return Skill{}, errdef.New(errdef.ErrNotFound, "there is no file %s", p.Path)
		}
		if err != nil {
			return Skill{}, err
		}
		if !info.Mode().IsRegular() {
			return Skill{}, errdef.New(errdef.ErrInvalid, "%s is no file", p.Path)
		}
	}
	here := *d
	if here.Description == "" {
		here.Description = fmt.Sprintf("The program %s, which is installed.", p.Name)
	}
	if here.Content == "" {
		here.Content = fmt.Sprintf("# %s\n\nRun `%s --help` to see what it does.\n", p.Name, p.Name)
	}
	s, err := fromText(&here, []byte(here.Content))
	s.Program = p
	return s, err
}

// install copies the program into the sandbox. Root owns it, where the sandbox has users.
func (p *Program) install(ctx context.Context, sb sandbox.Sandbox, owner string) error {
	if p.Path == "" {
		return nil
	}
	f, err := os.Open(p.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := path.Join(programDir, p.Name)
	if _, err := sb.WriteFile(ctx, name, sandbox.WriteOptions{Mode: 0o755, User: owner, Parents: true}, f); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// versionTime is how long a program may take to say which version it is.
const versionTime = 30 * time.Second

// Check finds out whether the program is there, and in the version that is wanted. as says how the agent's commands run.
func (p *Program) Check(ctx context.Context, sb sandbox.Sandbox, as sandbox.Command) error {
	as.Args = []string{"/bin/sh", "-c", `command -v -- "$1"`, "sh", p.Name}
	exit, err := sb.Exec(ctx, as, sandbox.IO{})
	if err != nil {
		return fmt.Errorf("look for %s: %w", p.Name, err)
	}
	if exit.Code != 0 {
		return errdef.New(errdef.ErrNotFound, "the program %q is not in the sandbox", p.Name).
			WithRemedy("use an image that has it, or name one of the host in the skill's path, which is copied")
	}
	if p.Version == "" {
		return nil
	}
	var said bytes.Buffer
	out := &limited{to: &said, left: 4 << 10}
	as.Args, as.Timeout = []string{p.Name, "--version"}, versionTime
	if exit, err = sb.Exec(ctx, as, sandbox.IO{Stdout: out, Stderr: io.Discard}); err != nil {
		return fmt.Errorf("run %s --version: %w", p.Name, err)
	}
	return p.holds(exit, said.String())
}

var numbers = regexp.MustCompile(`\d+(\.\d+)+[0-9A-Za-z.+-]*|\d+`)

// holds holds what the program says of its version against what is wanted.
func (p *Program) holds(exit sandbox.Exit, said string) error {
	unknown := errdef.New(errdef.ErrState, "%s --version does not tell its version", p.Name).WithRemedy("take the line version out of the skill")
	if exit.Code != 0 || exit.TimedOut {
		return unknown
	}
	constraint, err := version.NewConstraint(p.Version)
	if err != nil {
		return err
	}
	got, err := version.NewVersion(numbers.FindString(said))
	if err != nil {
		return unknown
	}
	if !constraint.Check(got) {
		return errdef.New(errdef.ErrState, "the sandbox has %s %s, and %q is asked for", p.Name, got, p.Version).
			WithRemedy("use an image with another version, or change the line version of the skill")
	}
	return nil
}
