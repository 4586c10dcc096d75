package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testsshd"
)

func TestDeployKeys(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	key := testsshd.Key(t, "ed25519")
	if err := os.Rename(key, filepath.Join(home, "id")); err != nil {
		t.Fatal(err)
	}
	p, diags := loadText(t, fmt.Sprintf(`sandbox "s" {
  main        = ["sleep", "infinity"]
  ssh_agent   = true
  known_hosts = ["[git.example]:2222 %s"]
  deploy_key "site" {
    source = "~/id"
    hosts  = ["github.com", "git.example:2222"]
  }
  deploy_key "free" {
    source = "~/id"
  }
}`, testsshd.Public(t, key)), Options{})
	if p == nil {
		t.Fatal(diags)
	}
	s := p.Sandboxes[0]
	same := func(a, b plan.DeployKey) bool {
		return a.Name == b.Name && a.Path == b.Path && slices.Equal(a.Hosts, b.Hosts)
	}
	want := []plan.DeployKey{
		{Name: "site", Path: filepath.Join(home, "id"), Hosts: []string{"github.com", "git.example:2222"}}, {Name: "free", Path: filepath.Join(home, "id")},
	}
	if !s.SSHAgent || len(s.KnownHosts) != 1 || !slices.EqualFunc(s.DeployKeys, want, same) {
		t.Errorf("%+v", s)
	}
}

// What is wrong with a key is said at its line, before anything starts.
func TestUnusableDeployKeys(t *testing.T) {
	good, open := testsshd.Key(t, "ed25519"), testsshd.Key(t, "ed25519")
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	block := func(name, source, rest string) string {
		return fmt.Sprintf("deploy_key %q {\nsource = %q\n%s\n}\n", name, source, rest)
	}
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"open":         {block("k", open, ""), 4, "chmod 600"},
		"directory":    {block("k", filepath.Dir(good), ""), 4, "is not a file"},
		"unknown host": {block("k", good, `hosts = ["git.example"]`), 5, "known_hosts = ["},
		"no host":      {block("k", good, `hosts = []`), 5, "good for nothing"},
		"host's path":  {block("k", good, `hosts = ["github.com/me"]`), 5, "is not the name of a host"},
		"two":          {block("k", good, "") + block("k", good, ""), 7, "There is a deploy key"},
		"name":         {block("a b", good, ""), 3, "is not a name"},
	} {
		_, diags := loadText(t, "sandbox \"s\" {\nimage = \"base\"\n"+c.text+"}\n", Options{})
		if len(diags) != 1 || diags[0].Range == nil || diags[0].Range.Start.Line != c.line || !strings.Contains(diags[0].Detail, c.want) {
			t.Errorf("%s: %+v", name, diags)
		}
	}
}
