package skill

import (
	"archive/zip"
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testsandbox"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func inline(label, content string) *plan.Skill {
	return &plan.Skill{Block: plan.Block{Plugin: KindInline, Label: label}, Content: content}
}

func file(t *testing.T, path string) *plan.Skill {
	t.Helper()
	return &plan.Skill{Block: plan.Block{Plugin: KindFile, Label: "from_host"}, Path: path}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func one(t *testing.T, s *plan.Skill) Skill {
	t.Helper()
	skills, err := Load(context.Background(), []*plan.Skill{s}, Sources{})
	if err != nil {
		t.Fatal(err)
	}
	return skills[0]
}

func TestFrontMatterIsMadeUpWhereItIsMissing(t *testing.T) {
	s := one(t, inline("Hacker_News API", "\n# Read Hacker News\nUse curl.\n"))
	if s.Name != "hacker-news-api" || s.Description != "Read Hacker News" {
		t.Errorf("%q %q", s.Name, s.Description)
	}
	want := "---\nname: hacker-news-api\ndescription: Read Hacker News\n---\n\n# Read Hacker News\nUse curl.\n"
	if got := string(s.Files[0].Content); got != want {
		t.Errorf("got %q", got)
	}
}

func TestFrontMatterThatIsThereIsKept(t *testing.T) {
	text := "---\nname: mine\ndescription: What it is for.\nlicense: MIT\n---\nBody: --- not a fence\n"
	s := one(t, inline("label", text))
	if s.Name != "mine" || string(s.Files[0].Content) != text {
		t.Errorf("%q\n%s", s.Name, s.Files[0].Content)
	}
	declared := inline("label", text)
	declared.Description = "Said: in the plan."
	s = one(t, declared)
	if s.Description != "Said: in the plan." {
		t.Errorf("description %q", s.Description)
	}
	head, body, err := split(s.Files[0].Content)
	if err != nil || head.Name != "mine" || head.Description != "Said: in the plan." || head.Rest["license"] != "MIT" || !strings.Contains(string(body), "Body") {
		t.Errorf("%v: %+v %q", err, head, body)
	}
}

func TestHostFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/one.md", "Do this.")
	if s := one(t, file(t, dir+"/one.md")); s.Name != "from-host" || s.Description != "Do this." {
		t.Errorf("%+v", s)
	}
	write(t, dir+"/full/SKILL.md", "---\nname: full\ndescription: d\n---\n")
	write(t, dir+"/full/scripts/run.sh", "#!/bin/sh\n")
	if err := os.Chmod(dir+"/full/scripts/run.sh", 0o700); err != nil {
		t.Fatal(err)
	}
	s := one(t, file(t, dir+"/full"))
	if len(s.Files) != 2 || s.Files[1].Path != "scripts/run.sh" || s.Files[1].Mode != 0o744 {
		t.Errorf("%+v", s.Files)
	}
}

func TestBadSkills(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/empty/other.md", "x")
	write(t, dir+"/linked/SKILL.md", "x")
	if err := os.Symlink("/etc/passwd", dir+"/linked/passwd"); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/big.md", strings.Repeat("x", MaxBytes+1))
	for i := range MaxFiles + 1 {
		write(t, filepath.Join(dir, "many", strings.Repeat("f", i%200+1), "f"+strings.Repeat("g", i/200)), "x")
	}
	for want, s := range map[string]*plan.Skill{
		"has no description":                inline("x", "---\nname: x\n---\n\n---\n"),
		"must be 1 to 64 characters":        inline("x", "---\nname: Not Good\ndescription: d\n---\n"),
		"at most 1024 are allowed":          inline("x", "---\ndescription: "+strings.Repeat("d", 1025)+"\n---\n"),
		"no line --- at its end":            inline("x", "---\nname: x\n"),
		"not valid YAML":                    inline("x", "---\n: :\n- x\n---\n"),
		"not UTF-8":                         inline("x", "\xff"),
		"there is no file":                  file(t, dir+"/none"),
		"has no SKILL.md":                   file(t, dir+"/empty"),
		"neither a file nor a directory":    file(t, dir+"/linked"),
		"/dev/null is neither":              file(t, "/dev/null"),
		"is larger than":                    file(t, dir+"/big.md"),
		"holds more than":                   file(t, dir+"/many"),
		"there is no skill kind \"oracle\"": {Block: plan.Block{Plugin: "oracle", Label: "x"}},
	} {
		if _, err := Load(context.Background(), []*plan.Skill{s}, Sources{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := Load(context.Background(), []*plan.Skill{inline("a_b", "x"), inline("a-b", "y")}, Sources{}); err == nil || !strings.Contains(err.Error(), `both called "a-b"`) {
		t.Errorf("two of one name: %v", err)
	}
}

func TestProvision(t *testing.T) {
	sb := testsandbox.New(t)
	skills, err := Load(context.Background(), []*plan.Skill{inline("a", "text of a"), inline("b", "text of b")}, Sources{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // provisioning again, as into a sandbox that is kept, is no error
		if err := Provision(context.Background(), sb, "/home/agent", "", skills); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/home/agent/.agents/skills/a/SKILL.md", "/home/agent/.claude/skills/b/SKILL.md"} {
		content, err := os.ReadFile(sb.Host(path))
		if err != nil || !strings.Contains(string(content), "text of") {
			t.Errorf("%s: %v %q", path, err, content)
		}
	}
	if err := Provision(context.Background(), testsandbox.New(t), "/home/agent", "", nil); err != nil {
		t.Fatal(err)
	}
}

// A skill of an archive is provisioned whole, with its scripts, and one whose files are not those that were pinned not at all.
func TestRemote(t *testing.T) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for name, mode := range map[string]fs.FileMode{"SKILL.md": 0o644, "bin/go.sh": 0o755} {
		h := &zip.FileHeader{Name: name}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("echo text")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive.Bytes()) }))
	defer server.Close()
	cache, err := image.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	declared := &plan.Skill{Block: plan.Block{Plugin: KindRemote, Label: "far_away"}, Source: server.URL + "/skill.zip"}
	_, err = Load(t.Context(), []*plan.Skill{declared}, Sources{Store: cache.Entry})
	if declared.Hash = regexp.MustCompile("h1:[^\"]*").FindString(errdef.Remedy(err)); declared.Hash == "" {
		t.Fatalf("without a hash: %v", err)
	}
	skills, err := Load(t.Context(), []*plan.Skill{declared}, Sources{Store: cache.Entry})
	if err != nil || skills[0].Name != "far-away" {
		t.Fatalf("%+v, %v", skills, err)
	}
	sb := testsandbox.New(t)
	if err := Provision(t.Context(), sb, "/home/agent", "", skills); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(sb.Host("/home/agent/.claude/skills/far-away/bin/go.sh")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
	server.Close() // from here on, only the cache
	if _, err := Load(t.Context(), []*plan.Skill{declared}, Sources{Store: cache.Entry}); err != nil {
		t.Error(err)
	}
}

func FuzzFrontMatter(f *testing.F) {
	f.Add("---\nname: x\ndescription: y\n---\nbody")
	f.Add("# title")
	f.Add("---\na: &a [*a]\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := fromText(inline("label", text), []byte(text))
		if err != nil {
			return
		}
		head, _, err := split(s.Files[0].Content)
		if err != nil || head.Name != s.Name || oneLine(head.Description) != s.Description {
			t.Errorf("%q became %q: %v", text, s.Files[0].Content, err)
		}
	})
}
