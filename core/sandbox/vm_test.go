package sandbox_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
)

func TestBootAndUse(t *testing.T) {
	cfg, _ := config(t, sandbox.Spec{Name: "First Box", CPUs: 2, Env: map[string]string{"GREETING": "hello"}})
	var stages []sandbox.Stage
	cfg.Progress = func(s sandbox.Stage) { stages = append(stages, s) }
	s, err := sandbox.NewVM(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeVM(t, s)
	var out bytes.Buffer
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"sh", "-c", "echo $GREETING from $(hostname)"}}, contract.IO{Stdout: &out})
	if err != nil || exit.Code != 0 || out.String() != "hello from first-box\n" {
		t.Errorf("exec: %+v, %v, output %q", exit, err, out.String())
	}
	info, err := s.Info(t.Context())
	if err != nil || info.CPUs != 2 || info.Hostname != "first-box" {
		t.Errorf("info = %+v, %v", info, err)
	}
	for _, want := range []sandbox.Stage{sandbox.StageImage, sandbox.StageCreate, sandbox.StageKernel, "agent: modules", sandbox.StageAnswer, sandbox.StageReady} {
		if !slices.Contains(stages, want) {
			t.Errorf("stage %q was not reported: %q", want, stages)
		}
	}
	if s.Accelerator() == "" || s.Err() != nil {
		t.Errorf("accelerator %q, error %v", s.Accelerator(), s.Err())
	}
	if !strings.HasSuffix(s.SocketPath(), "/vsock") {
		t.Errorf("socket path = %q", s.SocketPath())
	}
}

func TestContract(t *testing.T) {
	first := true
	plugintest.Sandbox(t, func(t *testing.T) contract.Sandbox {
		s, _ := boot(t, sandbox.Spec{})
		if first {
			first = false
			garbageOnTheSockets(t, s)
			consoleIsReadable(t, s)
		}
		return s
	})
}

func TestContractOfTheMainProcess(t *testing.T) {
	plugintest.SandboxMain(t, func(t *testing.T, main []string) contract.Sandbox {
		s, _ := boot(t, sandbox.Spec{Main: main})
		return s
	})
}

func consoleIsReadable(t *testing.T, s *sandbox.Sandbox) {
	var out bytes.Buffer
	if err := s.Console(t.Context(), false, &out); err != nil || !strings.Contains(out.String(), "voidbox: stage ") {
		t.Errorf("console = %q, %v", out.String(), err)
	}
}

func TestDiskAsRoot(t *testing.T) {
	s, _ := boot(t, sandbox.Spec{Image: testvm.Disk(t)})
	var out bytes.Buffer
	script := "import platform, pathlib; p = pathlib.Path('/workspace/x'); p.write_text('kept'); print(platform.python_implementation(), p.read_text())"
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"python3", "-c", script}}, contract.IO{Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 || out.String() != "CPython kept\n" {
		t.Errorf("exec: %+v, %v, output %q", exit, err, out.String())
	}
}

func TestTokenOpensTheAgentToOtherClients(t *testing.T) {
	s, _ := boot(t, sandbox.Spec{})
	conn, err := sandbox.Connect(s.SocketPath())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := contract.NewClient(conn, s.Token()).Info(t.Context()); err != nil {
		t.Errorf("with the token: %v", err)
	}
	if _, err := contract.NewClient(conn, bytes.Repeat([]byte{1}, contract.TokenSize)).Info(t.Context()); !errors.Is(err, errdef.ErrUnauthenticated) {
		t.Errorf("with another token: %v", err)
	}
}
