package image

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// apt fetches packages with the host's apt, from the sources and with the keys that the host trusts. It installs
// nothing and needs no root: packages land in a directory of ours. Where the system's package lists do not know a
// package, or are so old that the mirror no longer has it, lists of our own are fetched into state.
type apt struct {
	state string
}

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

func (a *apt) Depends(ctx context.Context, pkg string) ([]string, error) {
	var names []string
	err := a.withLists(ctx, func(options []string) error {
		out, err := a.run(ctx, "", "apt-cache", append(options, "show", "--no-all-versions", pkg))
		if err != nil {
			return err
		}
		names = parseDepends(out)
		return nil
	})
	return names, err
}

func (a *apt) Download(ctx context.Context, pkg, dir string) (string, error) {
	err := a.withLists(ctx, func(options []string) error {
		// As root apt would drop to a user who cannot write to our directory.
		_, err := a.run(ctx, dir, "apt-get", append(options, "-q", "-o", "APT::Sandbox::User=root", "download", pkg))
		return err
	})
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, pkg+"_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get download left %d archives instead of one", len(found))
	}
	return found[0], nil
}

// withLists calls try with the system's package lists and, where that fails, with fresh ones of our own.
func (a *apt) withLists(ctx context.Context, try func(options []string) error) error {
	err := try(nil)
	if err == nil || ctx.Err() != nil || errors.Is(err, exec.ErrNotFound) || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.state, dir), 0o755); err != nil {
			return err
		}
	}
	unlock, err := takeLock(ctx, filepath.Join(a.state, "voidbox.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	options := []string{"-o", "Dir::State=" + a.state, "-o", "Dir::State::lists=lists", "-o", "Dir::Cache=" + a.state}
	progress(ctx, "updating package lists of our own")
	update := append(options[:len(options):len(options)], "-q", "-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any", "update")
	_, stale := a.run(ctx, "", "apt-get", update)
	err = try(options[:len(options):len(options)])
	if err != nil && stale != nil && ctx.Err() == nil {
		// A source that is not Debian's may fail without harm; it matters only now.
		return fmt.Errorf("%w; is the network up (and http_proxy set, where one is needed)?", stale)
	}
	return err
}

// run executes an apt tool in dir. Its error carries what the tool said.
func (a *apt) run(ctx context.Context, dir, name string, args []string) ([]byte, error) {
	// Apt would try three times, with growing pauses, before it says that there is no network.
	cmd := exec.CommandContext(ctx, name, append([]string{"-o", "Acquire::Retries=1"}, args...)...)
	cmd.Dir, cmd.Env = dir, toolEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w: the host has no apt", err)
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	said := stderr.String()
	if strings.Contains(said, "No space left on device") {
		return nil, fmt.Errorf("%s: %w", name, syscall.ENOSPC)
	}
	return nil, fmt.Errorf("%s: %s", name, firstError(said, err))
}

// firstError returns apt's first error, which names the cause; the later ones name consequences.
func firstError(said string, err error) string {
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "E: "); ok {
			return text
		}
	}
	if line := lastLine(said); line != "" {
		return line
	}
	return err.Error()
}

// parseDepends reads the Depends field of a package's record, without versions and taking the first of alternatives.
func parseDepends(record []byte) []string {
	var names []string
	for lines := bufio.NewScanner(bytes.NewReader(record)); lines.Scan(); {
		field, ok := strings.CutPrefix(lines.Text(), "Depends:")
		if !ok {
			continue
		}
		for _, dep := range strings.Split(field, ",") {
			words := strings.Fields(strings.NewReplacer("|", " ", "(", " (").Replace(dep))
			if len(words) > 0 && packageName.MatchString(words[0]) {
				names = append(names, words[0])
			}
		}
		break
	}
	return names
}
