package users

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

const passwd = `# comment
root:x:0:0:root:/root:/bin/sh
broken line
bad:x:-1:0::/:
huge:x:4294967295:0::/:
node:x:1001:1002:Node:/home/node:/bin/bash
nohome:x:7:7:::
`

func TestLookup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte(passwd), 0o600); err != nil {
		t.Fatal(err)
	}
	ordinary := boot.DefaultUser
	node := boot.User{UID: 1001, GID: 1002, Name: "node", Home: "/home/node"}
	tests := []struct {
		spec string
		want boot.User
	}{
		{"", ordinary},
		{"sandbox", ordinary},
		{"1000", ordinary},
		{"1000:5", boot.User{UID: 1000, GID: 5, Name: "sandbox", Home: "/home/sandbox"}},
		{"root", boot.User{Name: "root", Home: "/root"}},
		{"0", boot.User{Name: "root", Home: "/root"}},
		{"node", node},
		{"1001", node},
		{"1001:0", boot.User{UID: 1001, Name: "node", Home: "/home/node"}},
		{"nohome", boot.User{UID: 7, GID: 7, Name: "nohome", Home: "/"}},
		{"4321", boot.User{UID: 4321, GID: 4321, Name: "4321", Home: "/"}},
	}
	for _, tt := range tests {
		if got, err := Lookup(file, tt.spec, ordinary); err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v; want %+v", tt.spec, got, err, tt.want)
		}
	}
	for _, bad := range []string{"nobody-here", "node:1", "1000:", "1000:x", "4294967295", "99999999999", "bad", "huge", ":", "-1"} {
		if got, err := Lookup(file, bad, ordinary); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
	if got, err := Lookup(file+"-missing", "root", ordinary); err != nil || got.UID != 0 || got.Name != "root" {
		t.Errorf("root without a file: %+v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh")
	f.Add("a::::::")
	f.Fuzz(func(t *testing.T, line string) {
		if u, ok := parse(line); ok && (u.Name == "" || u.Home == "") {
			t.Errorf("%q became %+v", line, u)
		}
	})
}
