package mock

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// as runs a line of shell as a user and returns all that it wrote.
func as(t *testing.T, s sandbox.Sandbox, user, script string) string {
	t.Helper()
	stdout, stderr, _, err := sandbox.Output(t.Context(), s, sandbox.Command{Args: []string{"sh", "-c", script}, User: user})
	if err != nil {
		t.Fatalf("%s as %q: %v", script, user, err)
	}
	return string(stdout) + string(stderr)
}

func TestUsers(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	as(t, s, "root", "echo bob:x:1234:2345:Bob:/home/bob:/bin/sh >> /etc/passwd; echo staff:x:2345: >> /etc/group; mkdir -p /home/bob; chown bob:staff /home/bob")
	for _, c := range []struct{ user, script, want string }{
		{"", "id; whoami; echo $HOME $USER $UID", "uid=1000(agent) gid=1000(agent) groups=1000(agent)\nagent\n/home/agent agent 1000\n"},
		{"root", "id; whoami; cd; pwd", "uid=0(root) gid=0(root) groups=0(root)\nroot\n/root\n"},
		{"0", "id -un", "root\n"},
		{"bob", "id; echo $HOME $LOGNAME; env -i sh -c 'echo $HOME'", "uid=1234(bob) gid=2345(staff) groups=2345(staff)\n/home/bob bob\n/home/bob\n"},
		{"1234:1", "id -u; id -g; id -gn", "1234\n1\n1\n"},
		{"77", "id; whoami; echo $HOME", "uid=77 gid=77 groups=77\n/\nwhoami: cannot find name for user ID 77\n"},
		{"1000:5", "id -u; id -g; echo $USER", "1000\n5\nagent\n"},
		{"", "id bob; id -u root; id nobody", "uid=1234(bob) gid=2345(staff) groups=2345(staff)\n0\nid: 'nobody': no such user\n"},

		// What one makes is one's own, in the shell, in programs, in subshells and jobs.
		{"bob", "cd /tmp; echo x > b1; touch b2; (touch b3); touch b4 & wait; mkdir b5; ln -s x b6; cp b1 b7; stat -c %U:%G b?", strings.Repeat("bob:staff\n", 7)},
		{"", "cat /tmp/b1; echo y > /tmp/b1; echo $?", "x\n1\nopen /tmp/b1: permission denied\n"},
		{"", "rm -f /tmp/b1; echo $?", "1\nrm: /tmp/b1: Operation not permitted\n"},
		{"bob", "chmod 600 /tmp/b1; cat /tmp/b1", "x\n"},
		{"", "cat /tmp/b1", "cat: /tmp/b1: Permission denied\n"},
		{"root", "cat /tmp/b1; echo z > /tmp/b1; stat -c %U /tmp/b1", "x\nbob\n"},
		{"1:2345", "chmod 640 /tmp/b2; cat /tmp/b2 && echo read", "read\nchmod: /tmp/b2: Operation not permitted\n"},
		{"", "ls /root; echo $?; cd /root 2>/dev/null; echo $?", "2\n1\nls: /root: Permission denied\n"},

		{"bob", "chown agent /tmp/b2; chown bob:staff /tmp/b2 && chgrp staff /tmp/b2 && echo own; chgrp 0 /tmp/b2; chown nosuch /tmp/b2",
			"own\nchown: /tmp/b2: Operation not permitted\nchgrp: /tmp/b2: Operation not permitted\nchown: invalid user: 'nosuch'\n"},
		{"root", "mkdir -p /tmp/t/u; touch /tmp/t/u/f; chown -R bob:root /tmp/t; stat -c %U:%G /tmp/t/u/f; chown :7 /tmp/t; stat -c %u:%g /tmp/t; chown -h 9 /tmp/b6; stat -c %u /tmp/b6",
			"bob:root\n1234:7\n9\n"},
		{"root", "ls -l /tmp/b1 | tr -s ' ' | cut -d' ' -f3,4", "bob staff\n"},
		{"", `test -O /tmp/b1 || echo not; [ -O /etc/passwd -o -O /workspace ] && echo mine; [[ -O /tmp/b1 ]] || echo not; [[ -G /workspace ]] && echo group`, "not\nmine\nnot\ngroup\n"},
		{"", "test -r /root && echo readable; test -w /workspace && echo writable", "writable\n"},
		{"root", "test -w /workspace && echo writable; test -x /etc/passwd || echo no", "writable\nno\n"},
	} {
		if got := as(t, s, c.user, c.script); got != c.want {
			t.Errorf("as %q: %s\n got %q\nwant %q", c.user, c.script, got, c.want)
		}
	}
	for _, user := range []string{"nosuch", "1000:x", "-1", "4294967295", "a:1"} {
		_, err := s.Exec(t.Context(), sandbox.Command{Args: []string{"true"}, User: user}, sandbox.IO{})
		if !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("user %q: %v, want errdef.ErrInvalid", user, err)
		}
	}
}

func TestUsersOfFiles(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	if _, err := s.WriteFile(t.Context(), "/srv/a/file", sandbox.WriteOptions{User: "12:34", Parents: true}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.MakeDir(t.Context(), "/srv/b/dir", sandbox.MakeDirOptions{User: "root", Parents: true, Mode: 0o700}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]uint32{"/srv/a": {12, 34}, "/srv/a/file": {12, 34}, "/srv/b": {}, "/srv/b/dir": {}} {
		info, err := s.Stat(t.Context(), path, false)
		if err != nil || [2]uint32{info.UID, info.GID} != want {
			t.Errorf("%s belongs to %d:%d, want %v (%v)", path, info.UID, info.GID, want, err)
		}
	}
	if out := sh(t, s, "cat /srv/b/dir/x"); !strings.Contains(out, "Permission denied") {
		t.Errorf("another user looked into a directory of root: %q", out)
	}
	if err := s.MakeDir(t.Context(), "/srv/c", sandbox.MakeDirOptions{User: "nosuch"}); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("make a directory for nobody: %v", err)
	}
	_, err := s.Stat(t.Context(), "/srv/c", false)
	if !errors.Is(err, errdef.ErrNotFound) || errors.Is(err, fs.ErrExist) {
		t.Errorf("it was made: %v", err)
	}
}

// TestKillNeedsTheSameUser runs a command of root that another user tries to kill.
func TestKillNeedsTheSameUser(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	control := make(chan sandbox.Control, 1)
	out := ""
	exit, err := s.Exec(t.Context(), sandbox.Command{Args: []string{"sleep", "1000"}, User: "root"}, sandbox.IO{
		Control: control,
		Started: func(int) {
			out = sh(t, s, "ps | grep 'sleep 1000' | grep -v grep | tr -s ' ' | cut -d' ' -f4; kill -9 $(ps | grep 'sleep 1000' | grep -v grep | tr -s ' ' | cut -d' ' -f2); echo $?")
			control <- sandbox.Control{Signal: "TERM"}
		},
	})
	if err != nil || exit.Signal != "TERM" {
		t.Errorf("the command ended with %+v, %v", exit, err)
	}
	if !strings.HasPrefix(out, "root\n1\n") || !strings.Contains(out, "Operation not permitted") {
		t.Errorf("ps and kill said %q", out)
	}
}
