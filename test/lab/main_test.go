package lab

import (
	"regexp"
	"strings"
	"testing"
)

// choose must pick the named tests and no others, by the rules of testing: alternatives first, then levels, then patterns.
func TestChoose(t *testing.T) {
	pattern := choose([]string{"TestB/sub.1", "TestA", "TestA"})
	for name, want := range map[string]bool{
		"TestA": true, "TestA/any": true, "TestAB": false, "TestB/sub.1": true, "TestB/sub.1/deeper": true, "TestB/subx1": false, "TestC": false,
	} {
		if got := matches(pattern, name); got != want {
			t.Errorf("%q matches %s: %v, want %v", pattern, name, got, want)
		}
	}
	if matches(choose(nil), "TestA") {
		t.Error("no names match everything")
	}
}

func matches(pattern, name string) bool {
	for _, alternative := range strings.Split(pattern, "|") {
		levels := strings.Split(name, "/")
		all := true
		for i, p := range strings.Split(alternative, "/") {
			if i < len(levels) && !regexp.MustCompile(p).MatchString(levels[i]) {
				all = false
			}
		}
		if all {
			return true
		}
	}
	return false
}

func TestPlacesInTheLab(t *testing.T) {
	t.Setenv(CPUsEnv, "")
	c := Config{Files: []File{{Host: "dir/tool"}, {Host: "x", Guest: "/opt/x"}}}
	if err := c.setDefaults(); err != nil {
		t.Fatal(err)
	}
	if c.Files[0].Guest != "/lab/tool" || c.Files[1].Guest != "/opt/x" || c.CPUs != 1 || c.MemoryMiB != 2048 {
		t.Errorf("%+v", c)
	}
	for _, place := range []string{"opt/x", "/opt/../x", "/opt/"} {
		c := Config{Files: []File{{"x", place}}}
		if err := c.setDefaults(); err == nil {
			t.Errorf("place %q is accepted", place)
		}
	}
}

// A test that cannot run ends as failed or as skipped, and says why.
func TestRequireEndsTheTest(t *testing.T) {
	if Inside() {
		t.Skip("looks at a host without QEMU")
	}
	t.Setenv("PATH", t.TempDir())
	for require, want := range map[string]string{"": "skip", "1": "fail"} {
		t.Setenv("VOIDBOX_REQUIRE_VM", require)
		r := &recorder{TB: t}
		r.run(func() { requireFor(r) })
		if testing.Short() {
			want = "skip"
		}
		if r.verdict != want || !testing.Short() && !strings.Contains(r.reason, "apt-get install qemu-system-x86") {
			t.Errorf("VOIDBOX_REQUIRE_VM=%q: %s %q, want %s", require, r.verdict, r.reason, want)
		}
	}
}
