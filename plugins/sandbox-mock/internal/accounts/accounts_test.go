package accounts

import (
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

var ordinary = Account{Name: "agent", UID: 1000, GID: 1000, Home: "/home/agent"}

func table(t *testing.T, passwd, group string) *Table {
	t.Helper()
	fs := memfs.New(memfs.Limits{Bytes: 4 << 20, Nodes: 10})
	root := memfs.User{Root: true}
	if err := fs.Mkdir(root, "/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"/etc/passwd": passwd, "/etc/group": group} {
		if err := fs.WriteFile(root, name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Read(fs)
}

func TestLookup(t *testing.T) {
	users := table(t, "root:x:0:0::/root:\nagent:x:5:5::/wrong:\nbob:x:12:34::/home/bob:/bin/sh\n# x:x:1:1::/:\nbad:x:y:1::/:\nshort:x:1\n"+
		"nohome:x:13:13:::\nbob:x:99:99::/second:\n", "root:x:0:\nstaff:x:34:bob\nbad:x:\n")
	for spec, want := range map[string]Account{
		"": ordinary, "agent": ordinary, "1000": ordinary, "1000:7": {"agent", 1000, 7, "/home/agent"},
		"root": {"root", 0, 0, "/root"}, "0": {"root", 0, 0, "/root"}, "bob": {"bob", 12, 34, "/home/bob"}, "12:1": {"bob", 12, 1, "/home/bob"},
		"77": {"77", 77, 77, "/"}, "77:78": {"77", 77, 78, "/"}, "nohome": {"nohome", 13, 13, "/"},
	} {
		if got, err := users.Lookup(spec, ordinary); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"bad", "short", "#", "bob:1", "1:", ":1", "1:x", "-1", "4294967295", "4294967296", "1:4294967295", " 1"} {
		if got, err := users.Lookup(spec, ordinary); err == nil {
			t.Errorf("%q: %+v, want an error", spec, got)
		}
	}
	if name := users.GroupName(34); name != "staff" {
		t.Errorf("group 34 is %q", name)
	}
	if gid, ok := users.Group("staff"); !ok || gid != 34 {
		t.Errorf("staff is %d, %v", gid, ok)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("root:x:0:0::/root:\n", "root:x:0:\n", "root")
	f.Add(strings.Repeat("a:", 100), "::::\n", "1:2")
	f.Fuzz(func(t *testing.T, passwd, group, spec string) {
		if len(passwd)+len(group) > 1<<20 {
			t.Skip("larger than the file system")
		}
		users := table(t, passwd, group)
		account, err := users.Lookup(spec, ordinary)
		if err == nil && (account.Home == "" || account.UID == 1<<32-1) {
			t.Errorf("%q: %+v", spec, account)
		}
		users.ByID(account.UID)
		users.GroupName(account.GID)
	})
}
