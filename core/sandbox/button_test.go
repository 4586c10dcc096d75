package sandbox_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testvm"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
)

// The monitors' own suite presses the power button of our kernel, which tells the agent by a signal. A distribution's kernel tells
// of it over netlink, and its driver is a module.
func TestPowerButtonOfADistributionsKernel(t *testing.T) {
	kernel, err := testvm.Require(t).Cache.DebianKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A pipe that both make, whoever comes first, is where the main process and this test meet.
	const meet = "mkfifo /tmp/set-up 2>/dev/null; "
	main := meet + `trap 'echo main: asked to end > /dev/console; exit' TERM; echo > /tmp/set-up; while true; do sleep 1000 & wait; done`
	s, plugin := boot(t, sandbox.Spec{Kernel: kernel.Path, User: "root", Main: []string{"sh", "-c", main}})
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"sh", "-c", meet + "cat /tmp/set-up"}}, contract.IO{Stdout: io.Discard})
	if err != nil || exit.Code != 0 {
		t.Fatalf("exec: %+v, %v", exit, err)
	}
	asked := time.Now()
	if err := plugin.VMM().Stop(t.Context(), 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	<-s.Stopped()
	t.Logf("the guest was gone %v after it was asked to go", time.Since(asked))
	if err := s.Err(); !errors.Is(err, sandbox.ErrStopped) || !strings.Contains(err.Error(), "powered itself off") {
		t.Errorf("error = %v", err)
	}
	var console bytes.Buffer
	if err := s.Console(t.Context(), false, &console); err != nil || !strings.Contains(console.String(), "main: asked to end") {
		t.Errorf("the console has no word of the main process: %v\n%s", err, console.String())
	}
}
