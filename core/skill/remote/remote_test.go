package remote

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a cache in a directory: it builds what is not there, and keeps nothing that failed.
func store(t *testing.T) Store {
	base := t.TempDir()
	return func(ctx context.Context, kind, key string, build func(context.Context, string) error) (string, error) {
		dir := filepath.Join(base, kind, key)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if err := build(ctx, dir); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
		return dir, nil
	}
}

// entry is a file of an archive.
type entry struct {
	name, content string
	mode          int64
	kind          byte
	link          string
}

var aSkill = []entry{
	{name: "repo/skills/hn/SKILL.md", content: "---\nname: hn\ndescription: Hacker News.\n---\n"},
	{name: "repo/skills/hn/bin/fetch.sh", content: "#!/bin/sh\n", mode: 0o755},
	{name: "repo/README.md", content: "x"},
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode | 0o644, Size: int64(len(e.content)), Typeflag: e.kind, Linkname: e.link}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(fs.FileMode(e.mode | 0o644))
		if e.kind == tar.TypeSymlink {
			h.SetMode(0o777 | fs.ModeSymlink)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, e.content+e.link); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// serve answers every path with what stands for it, and counts.
func serve(t *testing.T, files map[string][]byte) (url string, asked *int) {
	t.Helper()
	asked = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		content, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(func() { s.Close(); http.DefaultClient.CloseIdleConnections() })
	return s.URL + "/", asked
}

func parsed(t *testing.T, source, ref, hash string) Source {
	t.Helper()
	s, err := Parse(source, ref, hash)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told is the hash that the refusal of a source without one tells.
func told(t *testing.T, source, ref string) string {
	t.Helper()
	_, err := Fetch(t.Context(), parsed(t, source, ref, ""), store(t))
	_, hash, ok := strings.Cut(errdef.Remedy(err), "write hash = ")
	if !ok {
		t.Fatalf("no hash in %v, %s", err, errdef.Remedy(err))
	}
	return strings.Trim(hash, `"`)
}

// checkSkill looks at a directory that was made of aSkill.
func checkSkill(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "SKILL.md"))
	if err != nil || string(text) != aSkill[0].content {
		t.Errorf("%v: %q", err, text)
	}
	if info, err := os.Stat(filepath.Join(dir, "bin", "fetch.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("the script cannot be executed: %v %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err == nil {
		t.Error("more than the skill was unpacked")
	}
}

// Whatever the files come in, they have one hash, and are fetched once.
func TestEveryArchiveIsTheSameSkill(t *testing.T) {
	files := map[string][]byte{"a.tar": tarOf(t, aSkill...), "a.tar.gz": zipped(t, tarOf(t, aSkill...)), "a.tgz": zipped(t, tarOf(t, aSkill...)), "a.zip": zipOf(t, aSkill...)}
	url, asked := serve(t, files)
	const dir = "//repo/skills/hn"
	hash := told(t, url+"a.tar"+dir, "")
	for name := range files {
		*asked = 0
		kept := store(t)
		for range 2 {
			got, err := Fetch(t.Context(), parsed(t, url+name+dir, "", hash), kept)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkSkill(t, got)
		}
		if *asked != 1 {
			t.Errorf("%s was fetched %d times", name, *asked)
		}
	}
}

func TestChangedSkillIsRefused(t *testing.T) {
	files := map[string][]byte{"a.tar": tarOf(t, entry{name: "SKILL.md", content: "one"})}
	url, _ := serve(t, files)
	hash := told(t, url+"a.tar", "")
	files["a.tar"] = tarOf(t, entry{name: "SKILL.md", content: "two"})
	kept := store(t)
	for range 2 { // nothing of the first attempt serves the second
		_, err := Fetch(t.Context(), parsed(t, url+"a.tar", "", hash), kept)
		if !errors.Is(err, errdef.ErrDataLoss) || !strings.Contains(err.Error(), hash+" is pinned") {
			t.Errorf("changed: %v", err)
		}
	}
	files["a.tar"] = tarOf(t, entry{name: "SKILL.md", content: "one"})
	dir, err := Fetch(t.Context(), parsed(t, url+"a.tar", "", hash), kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "more.md"), []byte("Do evil."), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), parsed(t, url+"a.tar", "", hash), kept); err == nil || !strings.Contains(err.Error(), "in the cache has been changed") {
		t.Errorf("changed in the cache: %v", err)
	}
}

func TestHostileArchives(t *testing.T) {
	skill := entry{name: "SKILL.md", content: "x"}
	bomb := entry{name: "bomb", content: strings.Repeat("\x00", MaxBytes+1)}
	var many []entry
	for i := range MaxFiles + 1 {
		many = append(many, entry{name: fmt.Sprint("f", i), content: "x"})
	}
	for name, tc := range map[string]struct {
		entries []entry
		want    string
	}{
		"above":     {[]entry{skill, {name: "../evil"}}, "leads out of its directory"},
		"within":    {[]entry{skill, {name: "a/../../evil"}}, "leads out of its directory"},
		"absolute":  {[]entry{skill, {name: "/etc/evil"}}, "leads out of its directory"},
		"backslash": {[]entry{skill, {name: `..\evil`}}, "leads out of its directory"},
		"escape":    {[]entry{skill, {name: "a\x1b[2Jb"}}, "is no name"},
		"symlink":   {[]entry{skill, {name: "l", link: "/etc/passwd", kind: tar.TypeSymlink}}, "neither a file nor a directory"},
		"bomb":      {[]entry{skill, bomb}, "more than 8388608 bytes"},
		"many":      {append(many, skill), "more than 512 files"},
		"twice":     {[]entry{skill, skill}, "twice"},
		"file, dir": {[]entry{skill, {name: "a", content: "x"}, {name: "a/b", content: "x"}}, "twice"},
		"no skill":  {[]entry{{name: "x/SKILL.md"}}, "no SKILL.md in its top"},
	} {
		for kind, archive := range map[string][]byte{"tar.gz": zipped(t, tarOf(t, tc.entries...)), "zip": zipOf(t, tc.entries...)} {
			url, _ := serve(t, map[string][]byte{"a." + kind: archive})
			_, err := Fetch(t.Context(), parsed(t, url+"a."+kind, "", ""), store(t))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s.%s: want %q, got %v", name, kind, tc.want, err)
			}
		}
	}
	for name, e := range map[string]entry{"hard link": {name: "l", link: "SKILL.md", kind: tar.TypeLink}, "device": {name: "d", kind: tar.TypeChar}, "pipe": {name: "p", kind: tar.TypeFifo}} {
		url, _ := serve(t, map[string][]byte{"a.tar": tarOf(t, skill, e)})
		if _, err := Fetch(t.Context(), parsed(t, url+"a.tar", "", ""), store(t)); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBrokenAnswers(t *testing.T) {
	whole := zipped(t, tarOf(t, aSkill...))
	url, _ := serve(t, map[string][]byte{"cut.tar.gz": whole[:len(whole)/2], "not.tar.gz": []byte("<html>"), "not.zip": []byte("PK?"), "not.tar": bytes.Repeat([]byte("x"), 1024)})
	for name, want := range map[string]string{
		"cut.tar.gz": "cannot be unpacked", "not.tar.gz": "cannot be unpacked", "not.zip": "cannot be unpacked", "not.tar": "cannot be unpacked",
		"none.zip": "the server says 404 Not Found",
	} {
		if _, err := Fetch(t.Context(), parsed(t, url+name, "", ""), store(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// gitServer serves a repository that holds aSkill below skills/hn, with the tag v1, by Git's own program.
func gitServer(t *testing.T) (url, work string) {
	t.Helper()
	work = t.TempDir()
	for _, e := range aSkill {
		path := filepath.Join(work, strings.TrimPrefix(e.name, "repo/"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(e.content), fs.FileMode(e.mode|0o644)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, work, "init", "--quiet", "-b", "main")
	commit(t, work)
	run(t, work, "tag", "v1")
	where, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(where)), "git-http-backend"), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + work, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	t.Cleanup(s.Close)
	return "git::" + s.URL + "/.git", work
}

func commit(t *testing.T, work string) string {
	t.Helper()
	run(t, work, "add", "--all")
	run(t, work, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "--quiet", "-m", "m")
	return strings.TrimSpace(run(t, work, "rev-parse", "HEAD"))
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestRepository(t *testing.T) {
	url, work := gitServer(t)
	const dir = "//skills/hn"
	hash := told(t, url+dir, "v1")
	archives, _ := serve(t, map[string][]byte{"a.tar": tarOf(t, aSkill...)})
	if of := told(t, archives+"a.tar//repo/skills/hn", ""); of != hash {
		t.Errorf("the archive has the hash %s, the repository %s", of, hash)
	}
	kept := store(t)
	for _, ref := range []string{"v1", "main", strings.TrimSpace(run(t, work, "rev-parse", "v1"))} {
		got, err := Fetch(t.Context(), parsed(t, url+dir, ref, hash), store(t))
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		checkSkill(t, got)
	}
	if _, err := Fetch(t.Context(), parsed(t, url+dir, "v1", hash), kept); err != nil {
		t.Fatal(err)
	}
	// The tag moves: whoever has the skill keeps it, and whoever has not gets none.
	if err := os.WriteFile(filepath.Join(work, "skills/hn/SKILL.md"), []byte("Do evil."), 0o644); err != nil {
		t.Fatal(err)
	}
	commit(t, work)
	run(t, work, "tag", "--force", "v1")
	if _, err := Fetch(t.Context(), parsed(t, url+dir, "v1", hash), kept); err != nil {
		t.Errorf("from the cache: %v", err)
	}
	if _, err := Fetch(t.Context(), parsed(t, url+dir, "v1", hash), store(t)); !errors.Is(err, errdef.ErrDataLoss) {
		t.Errorf("moved tag: %v", err)
	}
	for want, s := range map[string]Source{
		"couldn't find remote ref nope": parsed(t, url+dir, "nope", ""),
		"read none of main":             parsed(t, url+"//none", "main", ""),
		"no SKILL.md in its top":        parsed(t, url, "main", ""),
	} {
		if _, err := Fetch(t.Context(), s, store(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// What a repository brings along stays text: a link is refused, a filter and a hook do not run, and the user's configuration,
// which could let them, is not read.
func TestHostileRepository(t *testing.T) {
	url, work := gitServer(t)
	home := t.TempDir()
	ran := filepath.Join(home, "ran")
	config := "[filter \"evil\"]\n\tsmudge = touch " + ran + "\n\trequired = true\n[core]\n\thooksPath = " + home + "\n[url \"file:///\"]\n\tinsteadOf = http\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "reference-transaction"), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, ".gitattributes"), []byte("* filter=evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	commit(t, work)
	t.Setenv("HOME", home)
	told(t, url+"//skills/hn", "main")
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program of the user's configuration ran")
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(work, "skills/hn/secret")); err != nil {
		t.Fatal(err)
	}
	commit(t, work)
	if _, err := Fetch(t.Context(), parsed(t, url+"//skills/hn", "main", ""), store(t)); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("link: %v", err)
	}
}

// A server that never answers is left when the caller is, with all of Git's processes: none of them holds its output any more.
func TestHungServer(t *testing.T) {
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release }))
	defer s.Close()
	defer close(release)
	for _, source := range []Source{parsed(t, "git::"+s.URL+"/x", "main", ""), parsed(t, s.URL+"/x.zip", "", "")} {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the user has left")
		go func() { <-arrived; cancel(why) }()
		if _, err := Fetch(ctx, source, store(t)); !errors.Is(err, why) {
			t.Errorf("%s: %v", source.URL, err)
		}
	}
}

func TestParse(t *testing.T) {
	hash := "h1:" + strings.Repeat("A", 43) + "="
	s := parsed(t, "git::https://host/a/b.git//skills/x/", "v1.2", hash)
	if want := (Source{URL: "https://host/a/b.git", Git: true, Ref: "v1.2", Subdir: "skills/x", Hash: hash}); s != want {
		t.Errorf("%+v", s)
	}
	for want, bad := range map[string][3]string{
		"is no address":              {"git::ext::sh -c evil", "v1", ""},
		`"file:///x.zip" is no addr`: {"file:///x.zip", "", ""},
		`"--upload-pack=x"`:          {"--upload-pack=x", "v1", ""},
		"a user name or a password":  {"https://me:secret@host/x.zip", "", ""},
		"neither a Git repository":   {"https://host/repo", "", ""},
		"needs a ref":                {"git::https://host/repo", "", ""},
		"is no branch":               {"git::https://host/repo", "--upload-pack=evil", ""},
		`"a:b" is no branch`:         {"git::https://host/repo", "a:b", ""},
		"an archive has no ref":      {"https://host/x.zip", "v1", ""},
		"leads out":                  {"https://host/x.zip//../../etc", "", ""},
		"is no hash":                 {"https://host/x.zip", "", "h1:short"},
		`"sha256:`:                   {"https://host/x.zip", "", "sha256:" + strings.Repeat("0", 64)},
	} {
		if s, err := Parse(bad[0], bad[1], bad[2]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %+v, %v", want, s, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("it shows the password: %v", err)
		}
	}
}

func FuzzArchive(f *testing.F) {
	evil := append([]entry{{name: "../evil"}, {name: "l", link: "/etc", kind: tar.TypeSymlink}}, aSkill...)
	f.Add(uint8(0), tarOf(f, aSkill...))
	f.Add(uint8(1), zipOf(f, aSkill...))
	f.Add(uint8(0), tarOf(f, evil...))
	f.Add(uint8(1), zipOf(f, evil...))
	f.Fuzz(func(t *testing.T, kind uint8, archive []byte) {
		base := t.TempDir()
		dir := filepath.Join(base, "skill")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		tree := &tree{root: root}
		if kind%2 == 0 {
			_ = tree.tar(bytes.NewReader(archive))
		} else {
			_ = tree.zip(bytes.NewReader(archive))
		}
		if names, err := os.ReadDir(base); err != nil || len(names) != 1 {
			t.Errorf("something was written outside: %v %v", names, err)
		}
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() && !e.Type().IsRegular() {
				t.Errorf("%s: %v %v", path, e, err)
			}
			return nil
		})
	})
}

func FuzzParse(f *testing.F) {
	f.Add("git::https://host/repo.git//a/b", "v1", "")
	f.Add("https://host/x.tar.gz//a", "", "h1:"+strings.Repeat("A", 43)+"=")
	f.Fuzz(func(t *testing.T, source, ref, hash string) {
		s, err := Parse(source, ref, hash)
		if err != nil {
			return
		}
		if !strings.HasPrefix(s.URL, "http") || strings.HasPrefix(s.Ref, "-") || s.Subdir != "" && !filepath.IsLocal(s.Subdir) {
			t.Errorf("%q %q became %+v", source, ref, s)
		}
	})
}
