package hostmem

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAvailable(t *testing.T) {
	const gib = 1 << 30
	cases := []struct {
		name  string
		files map[string]string
		want  uint64
		bound string
	}{
		{"no control group", nil, 4 * gib, "host"},
		{"unlimited group", map[string]string{"a/b/memory.max": "max\n", "a/b/memory.current": "1\n"}, 4 * gib, "host"},
		{"own limit", map[string]string{"a/b/memory.max": "2147483648\n", "a/b/memory.current": "1073741824\n"}, gib, "/a/b"},
		{"limit of the parent", map[string]string{"a/memory.max": "1073741824\n", "a/memory.current": "0\n"}, gib, "/a"},
		{"cache is reclaimed", map[string]string{"a/b/memory.max": "2147483648\n", "a/b/memory.current": "2147483648\n",
			"a/b/memory.stat": "anon 5\ninactive_file 1073741824\n"}, gib, "/a/b"},
		{"over its limit", map[string]string{"a/b/memory.max": "10\n", "a/b/memory.current": "20\n"}, 0, "/a/b"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			h := Host{MemInfo: filepath.Join(dir, "meminfo"), SelfCgroup: filepath.Join(dir, "cgroup"), CgroupRoot: filepath.Join(dir, "fs")}
			write(t, h.MemInfo, "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
			write(t, h.SelfCgroup, "0::/a/b\n")
			for name, content := range c.files {
				write(t, filepath.Join(h.CgroupRoot, name), content)
			}
			got, bound, err := h.Available()
			if err != nil || got != c.want || !strings.Contains(bound, c.bound) {
				t.Errorf("Available() = %d, %q, %v; want %d bounded by %s", got, bound, err, c.want, c.bound)
			}
		})
	}
}

func TestLocalMachineHasMemory(t *testing.T) {
	if got, _, err := Local().Available(); err != nil || got == 0 {
		t.Errorf("Available() = %d, %v", got, err)
	}
}
