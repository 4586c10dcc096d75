package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// later is a clock that runs ahead, so that files have settled as soon as they are written.
func later() time.Time { return time.Now().Add(time.Hour) }

// counted is a computation that says how often it was made.
type counted struct {
	n   int
	key string
}

func (c *counted) compute() (string, error) { c.n++; return c.key, nil }

func ask(t *testing.T, c *Cache, aside string, file string, from *counted) string {
	t.Helper()
	got, err := c.remember(aside, []string{file, ""}, from.compute)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFilesThatLieStillAreReadOnce(t *testing.T) {
	c, file := openTestCache(t), filepath.Join(t.TempDir(), "agent")
	one, two := strings.Repeat("1", keyLength), strings.Repeat("2", keyLength)
	from := &counted{key: one}

	writeFile(t, file, "first")
	if ask(t, c, "a", file, from); from.n != 1 {
		t.Fatal("nothing was computed")
	}
	c.now = later
	if got := ask(t, c, "a", file, from); got != one || from.n != 2 {
		t.Fatalf("a file that had only just been written was remembered: %s, computed %d times", got, from.n)
	}
	for range 3 {
		if got := ask(t, c, "a", file, from); got != one || from.n != 2 {
			t.Fatalf("%s, computed %d times", got, from.n)
		}
	}
	if ask(t, c, "b", file, from); from.n != 3 {
		t.Error("another question got the old answer")
	}

	// The same size, the same mtime, another content: the ctime tells.
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	from.key = two
	writeFile(t, file, "other")
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, c, "a", file, from); got != two {
		t.Error("another content gave the old answer")
	}
}

func TestWhatIsKnownWrongIsNotBelieved(t *testing.T) {
	c, file := openTestCache(t), filepath.Join(t.TempDir(), "agent")
	writeFile(t, file, "x")
	c.now = later
	from := &counted{key: strings.Repeat("a", keyLength)}
	ask(t, c, "a", file, from)
	known, err := filepath.Glob(filepath.Join(c.Dir(), "known", "*"))
	if err != nil || len(known) != 1 {
		t.Fatalf("known are %v, %v", known, err)
	}
	for n, torn := range []string{"", "abc", strings.Repeat("/", keyLength)} {
		writeFile(t, known[0], torn)
		if got := ask(t, c, "a", file, from); got != from.key || from.n != n+2 {
			t.Errorf("with %q written down: %q, computed %d times", torn, got, from.n)
		}
	}
}

func TestCacheThatCannotRememberStillAnswers(t *testing.T) {
	c, file := openTestCache(t), filepath.Join(t.TempDir(), "agent")
	writeFile(t, file, "x")
	writeFile(t, filepath.Join(c.Dir(), "known"), "in the way")
	c.now = later
	from := &counted{key: strings.Repeat("a", keyLength)}
	if got := ask(t, c, "a", file, from); got != from.key {
		t.Errorf("got %q", got)
	}
	_, err := c.remember("a", []string{file + ".missing"}, from.compute)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "agent.missing") {
		t.Errorf("a missing file: %v", err)
	}
}
