package procusage

import (
	"os"
	"os/exec"
	"testing"
)

func TestOwnUsage(t *testing.T) {
	u := Open(os.Getpid())
	defer u.Close()
	got := map[string]uint64{}
	u.Add(got)
	if got["memory.rss_bytes"] < 1<<20 {
		t.Errorf("usage = %v, want memory in it", got)
	}
	if _, ok := got["cpu.user_ns"]; !ok {
		t.Errorf("usage = %v, want processor time in it", got)
	}
}

func TestUsageOfAProcessThatHasEnded(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u := Open(cmd.Process.Pid)
	defer u.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	got := map[string]uint64{}
	u.Add(got)
	if len(got) != 0 {
		t.Errorf("usage = %v, want none", got)
	}
}
