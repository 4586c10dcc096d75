package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testsshd"
)

func TestProfilesAreMerged(t *testing.T) {
	key, dir, other := testsshd.Key(t, "ed25519"), t.TempDir(), t.TempDir()
	p, diags := loadText(t, fmt.Sprintf(`
variable "edition" {
  default = "2024"
}
profile "rust" {
  packages = ["cargo", "git"]
  env      = { EDITION = var.edition, WHO = "rust", RUST = "yes" }
  mount "/workspace" {
    source = %[1]q
  }
  mount "~/cache" {
    source = %[1]q
    mode   = "rw"
  }
  known_hosts = ["git.example %[4]s"]
}
profile "work" {
  packages = ["ripgrep", "git"]
  env      = { WHO = "work" }
  mount "/workspace" {
    source = %[2]q
    mode   = "overlay"
  }
  deploy_key "site" {
    source = %[3]q
  }
}
sandbox "dev" {
  main     = ["sleep", "infinity"]
  user     = "root"
  profiles = [profile.rust, profile.work]
  packages = ["bash"]
  disk     = "1GiB"
  env      = { WHO = "dev" }
  deploy_key "site" {
    source = %[3]q
    hosts  = ["git.example"]
  }
}
sandbox "plain" {
  profiles = [profile.work, profile.rust]
}`, dir, other, key, testsshd.Public(t, key)), Options{})
	if p == nil {
		t.Fatal(diags)
	}
	dev, plain := p.Sandboxes[0], p.Sandboxes[1]
	if want := []string{"bash", "cargo", "git", "ripgrep"}; !slices.Equal(dev.Packages, want) {
		t.Errorf("packages %v, want %v", dev.Packages, want)
	}
	if want := map[string]string{"EDITION": "2024", "WHO": "dev", "RUST": "yes"}; !maps.Equal(dev.Env, want) {
		t.Errorf("env %v, want %v", dev.Env, want)
	}
	mounts := ""
	for _, m := range dev.Mounts {
		mounts += m.Target + " " + m.Source + " " + m.Mode + "\n"
	}
	if want := "/workspace " + other + " overlay\n/root/cache " + dir + " rw\n"; mounts != want {
		t.Errorf("mounts\n%swant\n%s", mounts, want)
	}
	if len(dev.DeployKeys) != 1 || !slices.Equal(dev.DeployKeys[0].Hosts, []string{"git.example"}) || len(dev.KnownHosts) != 1 {
		t.Errorf("keys %+v, known %v", dev.DeployKeys, dev.KnownHosts)
	}
	// The order of the list decides, and what one sandbox adds is not in the other.
	if plain.Env["WHO"] != "rust" || plain.Mounts[0].Source != dir || plain.Mounts[1].Target != "/home/sandbox/cache" || len(plain.DeployKeys[0].Hosts) != 0 {
		t.Errorf("%+v", plain)
	}
}

func TestProfilesThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"image and packages":    {`sandbox "s" { ` + "\nimage = \"docker.io/library/node:22\"\npackages = [\"git\"]\n}", "Two root file systems"},
		"image and profile":     {"profile \"p\" {\npackages = [\"git\"]\n}\nsandbox \"s\" {\nimage = \"docker.io/library/node:22\"\nprofiles = [profile.p]\n}", "Two root file systems"},
		"arguments for nobody":  {"sandbox \"s\" {\npackages = [\"git\"]\nargs = [\"x\"]\n}", "Arguments for nobody"},
		"no package":            {"sandbox \"s\" {\nmain = [\"sh\"]\npackages = [\"Git!\"]\n}", "Invalid package"},
		"unknown profile":       {"profile \"rust\" {\n}\nsandbox \"s\" {\nmain = [\"sh\"]\nprofiles = [profile.rusty]\n}", "Unknown reference"},
		"something else":        {"sandbox \"a\" {\nmain = [\"sh\"]\n}\nsandbox \"s\" {\nmain = [\"sh\"]\nprofiles = [sandbox.a]\n}", "Wrong type"},
		"not a profile's":       {"profile \"p\" {\ncpus = 2\n}", "Unsupported argument"},
		"home of nobody":        {"profile \"p\" {\nmount \"~/x\" {\nsource = \"/\"\n}\n}\nsandbox \"s\" {\nmain = [\"sh\"]\nuser = \"1234\"\nprofiles = [profile.p]\n}", "Invalid guest path"},
		"sensitive environment": {"variable \"v\" {\ndefault = \"secret-text\"\nsensitive = true\n}\nprofile \"p\" {\nenv = { V = var.v }\n}", "Sensitive value"},
	} {
		_, diags := loadText(t, c.text, Options{})
		if len(diags) == 0 || !strings.Contains(diags[0].Summary, c.want) || diags[0].Range == nil {
			t.Errorf("%s: %v", name, diags)
		}
	}
}
