package canary

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What is where it should be found, is found: else a test that finds nothing would show nothing.
func TestSecretsAreFound(t *testing.T) {
	const secret = "canary-of-this-test"
	for name, test := range map[string]struct {
		script string
		env    string
		where  string
	}{
		"memory":       {`x=canary; y=$x-of-this-; y=${y}test; echo ready; read wait; echo $y`, "", "memory"},
		"environment":  {`echo ready; read wait`, "X=" + secret, "environ"},
		"command line": {`echo ready; read wait # ` + secret, "", "cmdline"},
		"nowhere":      {`echo ready; read wait`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", test.script)
			cmd.Env = []string{test.env}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { in.Close(); cmd.Wait() }()
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
				t.Fatal(line, err)
			}
			below, err := Below(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(below, func(p Process) bool { return p.PID == cmd.Process.Pid })
			if i < 0 || below[i].Name() != "sh" {
				t.Fatalf("%+v", below)
			}
			where, looked, err := below[i].Find(secret)
			if err != nil || !strings.HasPrefix(where, test.where) || (where == "") != (test.where == "") {
				t.Errorf("found in %q, want %q; looked at %d bytes, %v", where, test.where, looked, err)
			}
		})
	}
}
