package run

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testsshd"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Whoever wrote them: the Go library checks nothing before.
func TestKeysAreCheckedBeforeAnythingStarts(t *testing.T) {
	key, open := testsshd.Key(t, "ed25519"), testsshd.Key(t, "ed25519")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	for name, c := range map[string]struct {
		box          plan.Sandbox
		says, remedy string
	}{
		"fine":         {plan.Sandbox{DeployKeys: []plan.DeployKey{{Name: "a", Path: key, Hosts: []string{"github.com"}}, {Name: "b", Path: key}}}, "", ""},
		"no agent":     {plan.Sandbox{SSHAgent: true}, "SSH_AUTH_SOCK is not set", "ssh-add"},
		"open":         {plan.Sandbox{DeployKeys: []plan.DeployKey{{Name: "a", Path: open}}}, "deploy key a", "chmod 600"},
		"two":          {plan.Sandbox{DeployKeys: []plan.DeployKey{{Name: "a", Path: key}, {Name: "a", Path: key}}}, "two of that name", ""},
		"unknown host": {plan.Sandbox{DeployKeys: []plan.DeployKey{{Name: "a", Path: key, Hosts: []string{"nowhere.example"}}}}, "is not known", "known_hosts"},
		"known hosts":  {plan.Sandbox{KnownHosts: []string{"nonsense"}}, "known_hosts", "HOST KIND KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &fakeHost{t: t}
			r := &Run{ctx: t.Context(), cfg: Config{Host: h}}
			c.box.Name, c.box.Backend = "box", "qemu"
			err := r.checkSandbox(&c.box)
			if c.says == "" && err == nil {
				return
			}
			if config := new(ConfigError); !errors.As(err, &config) || !strings.Contains(err.Error(), c.says) || !strings.Contains(errdef.Remedy(err), c.remedy) {
				t.Errorf("%v; %s", err, errdef.Remedy(err))
			}
			if len(h.started) > 0 {
				t.Errorf("started %v", h.started)
			}
		})
	}
}
