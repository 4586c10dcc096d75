package config

import (
	"os"
	"path/filepath"
	"testing"
)

// "~" is the host user's home in source, and that of the sandbox's user in the label, if voidbox knows it.
func TestHomesOfMounts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.Mkdir(filepath.Join(home, "code"), 0o700); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{"sandbox": "/home/sandbox/in", "root": "/root/in", "1234": ""} {
		p, diags := loadText(t, `sandbox "s" {
  main = ["sleep", "infinity"]
  user = "`+user+`"
  mount "~/in" {
    source = "~/code"
  }
}`, Options{})
		if want == "" {
			if !diags.HasErrors() {
				t.Errorf("user %s: whose home that is nobody knows, and it was taken", user)
			}
			continue
		}
		if p == nil {
			t.Errorf("user %s: %v", user, diags)
		} else if m := p.Sandboxes[0].Mounts[0]; m.Target != want || m.Source != filepath.Join(home, "code") {
			t.Errorf("user %s: %+v", user, m)
		}
	}
}
