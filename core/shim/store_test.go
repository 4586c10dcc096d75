package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func store(t testing.TB) *Store {
	t.Helper()
	s, err := OpenStore(t.TempDir())
	must(t, err)
	return s
}

func definition(name string) Definition { return Definition{Name: name, Text: `{}`} }

func TestANameIsTakenOnce(t *testing.T) {
	s := store(t)
	var made, refused atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			claim, err := s.Create(definition("box"))
			switch {
			case err == nil:
				made.Add(1)
				claim.Release()
			case errors.Is(err, errdef.ErrExists):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 || refused.Load() != 19 {
		t.Errorf("made %d times, refused %d times", made.Load(), refused.Load())
	}
	nothingHalfMade(t, s)
}

func nothingHalfMade(t *testing.T, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../up", "a/b", "-flag", "a:b", "a b", ".hidden", "ä", "x\n", strings.Repeat("n", 64)} {
		if err := CheckName(name); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := store(t).Create(definition(name)); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("create %q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "dev", "A-1_b.c", strings.Repeat("n", 63)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestWhoeverHoldsTheLockHasTheSandbox, and nobody else starts or removes it.
func TestWhoeverHoldsTheLockHasTheSandbox(t *testing.T) {
	s := store(t)
	claim, err := s.Create(definition("box"))
	must(t, err)
	must(t, writeDocument(claim.dir, instanceFile, Instance{Version: Version, State: Running, PID: os.Getpid()}))
	if _, err := s.Claim("box"); !errors.Is(err, errdef.ErrState) {
		t.Errorf("claim: %v", err)
	}
	if err := s.Remove("box"); !errors.Is(err, errdef.ErrState) {
		t.Errorf("remove: %v", err)
	}
	b, err := s.Get("box")
	must(t, err)
	if b.Instance.State != Running {
		t.Errorf("state %q", b.Instance.State)
	}
	claim.Release()
	must(t, s.Remove("box"))
	if _, err := s.Get("box"); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
	nothingHalfMade(t, s)
}

// TestAShimThatWasKilledIsTidiedUp by whoever looks first; its socket's directory goes, and no other that a document may name.
func TestAShimThatWasKilledIsTidiedUp(t *testing.T) {
	s := store(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	ours, err := newRuntimeDir()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(ours, socketName), nil, 0o600))
	theirs := t.TempDir()
	for name, dir := range map[string]string{"ours": ours, "theirs": theirs} {
		claim, err := s.Create(definition(name))
		must(t, err)
		must(t, writeDocument(claim.dir, instanceFile, Instance{Version: Version, State: Running, PID: 4711, RuntimeDir: dir, Token: []byte("t")}))
		claim.Release()
	}
	list, err := s.List()
	must(t, err)
	for _, b := range list {
		if b.Instance.State != Dead || !strings.Contains(b.Instance.Error, "4711") || b.Instance.Token != nil {
			t.Errorf("%s: %+v", b.Name, b.Instance)
		}
		if _, err := b.Connect(); !errors.Is(err, errdef.ErrState) || errdef.Remedy(err) == "" {
			t.Errorf("connect: %v", err)
		}
	}
	if _, err := os.Stat(ours); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the runtime directory is left: %v", err)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Errorf("another directory is gone: %v", err)
	}
}

// TestDocumentsThatCannotBeRead are shown, keep nobody else from being listed, and can be removed.
func TestDocumentsThatCannotBeRead(t *testing.T) {
	s := store(t)
	for name, document := range map[string]string{
		"newer": `{"version": 99, "name": "newer", "text": "{}"}`, "older": `{"name": "older"}`, "torn": `{"version": 1, "na`, "other": `{"version": 1, "name": "another", "text": "{}"}`,
	} {
		claim, err := s.Create(definition(name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(claim.dir, definitionFile), []byte(document), 0o600))
		claim.Release()
	}
	list, err := s.List()
	must(t, err)
	if len(list) != 4 {
		t.Fatalf("%d are listed", len(list))
	}
	for _, b := range list {
		if b.Broken == nil {
			t.Errorf("%s can be read", b.Name)
		}
		must(t, s.Remove(b.Name))
	}
	if _, err := s.Get("newer"); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"version": 1, "name": "box", "created": "2026-01-02T03:04:05Z", "text": "{}"}`))
	f.Add([]byte(`{"version": 1, "state": "running", "pid": 1, "token": "AAAA", "main": {"code": 3}}`))
	f.Add([]byte(`{"version": 2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Definition
		if decode(data, &d) == nil && d.Version != Version {
			t.Errorf("version %d was taken", d.Version)
		}
		var i Instance
		if decode(data, &i) == nil && i.Version != Version {
			t.Errorf("version %d was taken", i.Version)
		}
	})
}
