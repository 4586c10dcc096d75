package image

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary plays another voidbox where this variable names a cache.
const playBuilder = "VOIDBOX_IMAGE_TEST_CACHE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(playBuilder); dir != "" {
		os.Exit(builder(dir))
	}
	os.Exit(m.Run())
}

// builder makes one entry. It says "building" and waits for a line on its input in mid-build, or says "waiting".
func builder(dir string) int {
	c, err := OpenCache(dir)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	ctx := WithProgress(context.Background(), func(string) { fmt.Println("waiting") })
	entry, err := c.Entry(ctx, "kind", "key", func(_ context.Context, dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "by"), fmt.Append(nil, os.Getpid()), 0o644); err != nil {
			return err
		}
		fmt.Println("building")
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return err
	})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	by, err := os.ReadFile(filepath.Join(entry, "by"))
	fmt.Println("entry by", string(by), err)
	return 0
}

type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

func startBuilder(t *testing.T, cache string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(os.Environ(), playBuilder+"="+cache)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.lines = in, bufio.NewScanner(out)
	return p
}

func (p *process) expect(prefix string) {
	p.t.Helper()
	if !p.lines.Scan() || !strings.HasPrefix(p.lines.Text(), prefix) {
		p.t.Fatalf("process said %q, want %q", p.lines.Text(), prefix)
	}
}

func (p *process) proceed() {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.t.Error(err)
	}
}

func TestTwoProcessesBuildOnce(t *testing.T) {
	cache := t.TempDir()
	winner := startBuilder(t, cache)
	winner.expect("building")
	loser := startBuilder(t, cache)
	loser.expect("waiting")
	winner.proceed()
	want := fmt.Sprintf("entry by %d <nil>", winner.cmd.Process.Pid)
	winner.expect(want)
	loser.expect(want)
	for _, p := range []*process{winner, loser} {
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestKilledBuilderIsReplaced(t *testing.T) {
	cache := t.TempDir()
	dead := startBuilder(t, cache)
	dead.expect("building")
	heir := startBuilder(t, cache)
	heir.expect("waiting")
	if err := dead.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.cmd.Wait() // reports the kill
	heir.expect("building")
	heir.proceed()
	heir.expect(fmt.Sprintf("entry by %d <nil>", heir.cmd.Process.Pid))
	if err := heir.cmd.Wait(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "kind", workPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
