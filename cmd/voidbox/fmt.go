package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/config"
)

// fmtFlags say what to do with what is not formatted.
type fmtFlags struct{ check, diff bool }

func (c *cli) fmtCommand() *cobra.Command {
	var flags fmtFlags
	cmd := &cobra.Command{
		Use:   "fmt [FILE|DIR|-]...",
		Short: "Format files in the canonical style",
		Long: "fmt rewrites .hcl files in place and prints the names of those that it changed. A directory stands for the .hcl files in\n" +
			"it; without arguments it is the current one. - formats standard input to standard output.",
		Example: "  voidbox fmt\n" +
			"  voidbox fmt --check --diff examples\n" +
			"  voidbox fmt - < agent.hcl",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return c.formatStdin(flags)
			}
			if slices.Contains(args, "-") {
				return failUsage(errors.New("- stands for standard input and cannot be mixed with files"), "format one or the other")
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			return c.formatFiles(args, flags)
		},
	}
	cmd.Flags().BoolVar(&flags.check, "check", false, "change nothing; exit with 1 when a file is not formatted")
	cmd.Flags().BoolVar(&flags.diff, "diff", false, "show what would change; change nothing")
	return cmd
}

func (c *cli) formatStdin(flags fmtFlags) error {
	source, err := io.ReadAll(c.stdin)
	if err != nil {
		return failWith(exitUsage, fmt.Errorf("read standard input: %w", err))
	}
	formatted, diags := config.Format(source, "<stdin>")
	if diags.HasErrors() {
		return c.showDiagnostics(diags)
	}
	if !flags.check && !flags.diff {
		_, err := c.stdout.Write(formatted)
		return err
	}
	if c.report("<stdin>", source, formatted, flags) && flags.check {
		return failShown(exitFailed)
	}
	return nil
}

func (c *cli) formatFiles(args []string, flags fmtFlags) error {
	files, err := hclFiles(args)
	if err != nil {
		return failWith(exitUsage, err)
	}
	unformatted := false
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			return failWith(exitUsage, err)
		}
		formatted, diags := config.Format(source, name)
		if diags.HasErrors() {
			return c.showDiagnostics(diags)
		}
		if !c.report(name, source, formatted, flags) {
			continue
		}
		unformatted = true
		if flags.check || flags.diff {
			continue
		}
		if err := replaceFile(name, formatted); err != nil {
			return failWith(exitFailed, err)
		}
	}
	if unformatted && flags.check {
		return failShown(exitFailed)
	}
	return nil
}

// report names a file that is not formatted, and shows the difference when asked.
func (c *cli) report(name string, source, formatted []byte, flags fmtFlags) bool {
	if bytes.Equal(source, formatted) {
		return false
	}
	if flags.diff {
		c.stdout.Write(diff.Diff(name, source, name+" (formatted)", formatted))
	} else {
		fmt.Fprintln(c.stdout, name)
	}
	return true
}

// hclFiles expands directories.
func hclFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		st, err := os.Stat(arg)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s does not exist", arg)
		}
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			if strings.HasSuffix(arg, ".json") {
				return nil, fmt.Errorf("%s: JSON syntax has no canonical style; format .hcl files only", arg)
			}
			files = append(files, arg)
			continue
		}
		found, err := filepath.Glob(filepath.Join(arg, "*.hcl"))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// replaceFile writes content under another name and renames it, so that a crash leaves the old file or the new one.
func replaceFile(name string, content []byte) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(content); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Chmod(st.Mode().Perm()); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
