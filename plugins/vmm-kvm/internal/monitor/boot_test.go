package monitor

import (
	"bytes"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

func TestBootAndUse(t *testing.T) {
	lab.RequireKVM(t)
	m := freeMonitor(t, Options{})
	s := bootGuest(t, m, sandbox.Spec{})
	var out bytes.Buffer
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"sh", "-c", "echo hello from $(uname -s)"}}, contract.IO{Stdout: &out})
	if err != nil || exit.Code != 0 || out.String() != "hello from Linux\n" {
		t.Errorf("exec: %+v, %v, output %q", exit, err, out.String())
	}
}
