//go:build linux

package posix

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Verdicts, each at the start of a line.
const (
	Passed  = "ok"
	Failed  = "FAIL"
	Skipped = "skip"
)

// Prepare makes the trees of all cases below a directory.
func Prepare(dir string) error {
	defer unix.Umask(unix.Umask(0o022))
	for i, c := range Cases() {
		if err := plant(caseDir(dir, i), c.tree); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

func caseDir(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("c%03d", i)) }

// limit is for a case that hangs: everything ends there, since nothing more can be believed.
const limit = 5 * time.Minute

// Run runs the cases whose names begin with one of the prefixes, or all, on trees that were prepared, and prints a line for each.
func Run(dir string, w io.Writer, prefixes []string) error {
	unix.Umask(0o022)
	debug.SetPanicOnFault(true)
	for i, c := range Cases() {
		if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c.Name, p) }) {
			continue
		}
		if c.who == root && os.Geteuid() != 0 || c.who == user && os.Geteuid() == 0 {
			fmt.Fprintf(w, "%s %s\n", Skipped, c.Name)
			continue
		}
		hangs := time.AfterFunc(limit, func() {
			fmt.Fprintf(w, "%s %s: it hangs\n", Failed, c.Name)
			os.Exit(2)
		})
		failed := c.ask(caseDir(dir, i))
		hangs.Stop()
		verdict := Passed
		if len(failed) > 0 {
			verdict = Failed
			failed = ": " + strings.ReplaceAll(failed, "\n", `\n`)
		}
		if _, err := fmt.Fprintf(w, "%s %s%s\n", verdict, c.Name, failed); err != nil {
			return err
		}
	}
	return nil
}

// ask runs one case and returns what is wrong.
func (c *Case) ask(dir string) string {
	t := &T{dir: dir}
	t.guard(func() { c.run(t) })
	for _, fn := range slices.Backward(t.done) {
		t.guard(fn)
	}
	return strings.Join(t.failed, "; ")
}

// guard turns panics into failures.
func (t *T) guard(fn func()) {
	defer func() {
		switch r := recover().(type) {
		case nil, stop:
		default:
			t.errorf("panic: %v", r)
		}
	}()
	fn()
}

// plant makes a tree: words, of which each is an empty file, name=text, dir/, name->target or name=>file for a hard link.
func plant(dir, tree string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for word := range strings.FieldsSeq(tree) {
		if err := plantOne(dir, word); err != nil {
			return err
		}
	}
	return nil
}

func plantOne(dir, word string) error {
	if name, target, ok := strings.Cut(word, "->"); ok {
		return os.Symlink(target, filepath.Join(dir, name))
	}
	if name, file, ok := strings.Cut(word, "=>"); ok {
		return os.Link(filepath.Join(dir, file), filepath.Join(dir, name))
	}
	if strings.HasSuffix(word, "/") {
		return os.MkdirAll(filepath.Join(dir, word), 0o755)
	}
	name, text, _ := strings.Cut(word, "=")
	path := filepath.Join(dir, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}
