package sandbox_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/internal/testvm"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
)

// testLayout is an OCI layout of an image of busybox alone, with a main process, a user, an environment and a directory of its own.
func testLayout(t *testing.T, config v1.Config) string {
	t.Helper()
	busybox, err := testvm.Require(t).Cache.Busybox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base := []testimage.Entry{
		testimage.Dir("etc"), testimage.File("etc/group", "root:x:0:\nteam:x:77:\n"),
		testimage.File("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/srv/app:/bin/sh\n"),
		testimage.File("etc/hosts", ""), testimage.Symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
		testimage.Dir("srv"), testimage.Dir("srv/app"), testimage.File("srv/app/hidden", "x"), testimage.File("srv/app/data", "lower"),
	}
	upper := []testimage.Entry{testimage.File("srv/app/.wh.hidden", ""), testimage.File("srv/app/data", "upper"), testimage.Link("srv/app/again", "srv/app/data")}
	layout := testimage.Layout(t, map[string]v1.Image{"v1": testimage.Image(t, config, testimage.Busybox(t, busybox), testimage.Layer(t, testimage.Tar(t, base...)), testimage.Layer(t, testimage.Tar(t, upper...)))})
	t.Cleanup(func() { _, _ = testvm.Require(t).Cache.RemoveImage(context.Background(), "oci:"+layout) }) // unless nobody booted it
	return layout
}

func output(t *testing.T, s *sandbox.Sandbox, script string) string {
	t.Helper()
	var out bytes.Buffer
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"sh", "-c", script}}, contract.IO{Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 {
		t.Errorf("%s: %+v, %v: %s", script, exit, err, out.String())
	}
	return out.String()
}

func mainOutput(t *testing.T, s *sandbox.Sandbox) (string, contract.Exit) {
	t.Helper()
	var out bytes.Buffer
	if err := s.MainOutput(t.Context(), true, &out, &out); err != nil {
		t.Fatal(err)
	}
	exit, err := s.WaitMain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), exit
}

func TestImageIsHonoured(t *testing.T) {
	layout := testLayout(t, v1.Config{
		Entrypoint: []string{"/bin/sh", "-c", `id -u; id -g; pwd; echo $ONE $TWO "$@"; exit 7`, "sh"}, Cmd: []string{"of", "the", "image"},
		Env: []string{"ONE=image", "TWO=image", "PATH=/bin"}, User: "app:team", WorkingDir: "/srv/app",
	})
	t.Run("as it is", func(t *testing.T) {
		s, _ := boot(t, sandbox.Spec{Name: "box", Image: "oci:" + layout, Env: map[string]string{"TWO": "mine"}})
		if out, exit := mainOutput(t, s); out != "1234\n77\n/srv/app\nimage mine of the image\n" || exit.Code != 7 {
			t.Errorf("main process: %q, %+v", out, exit)
		}
		if out := output(t, s, "id -u; pwd; echo $ONE $TWO $HOME"); out != "1234\n/srv/app\nimage mine /srv/app\n" {
			t.Errorf("command: %q", out)
		}
		if out := output(t, s, "cat data again; stat -c %h data; ls"); out != "upperupper2\nagain\ndata\n" {
			t.Errorf("layers: %q", out)
		}
		if out := output(t, s, "hostname; grep -c localhost /etc/hosts; grep -c sandbox:x:1000 /etc/passwd; stat -c '%u %n' /workspace /home/sandbox"); out != "box\n2\n1\n1000 /workspace\n1000 /home/sandbox\n" {
			t.Errorf("what every sandbox has: %q", out)
		}
	})
	t.Run("with arguments and a user", func(t *testing.T) {
		s, _ := boot(t, sandbox.Spec{Image: "oci:" + layout, Args: []string{"of mine"}, User: "sandbox", WorkingDir: "/workspace"})
		if out, _ := mainOutput(t, s); out != "1000\n1000\n/workspace\nimage image of mine\n" {
			t.Errorf("main process: %q", out)
		}
	})
	t.Run("with another main process", func(t *testing.T) {
		s, _ := boot(t, sandbox.Spec{Image: "oci:" + layout, Main: []string{"sh", "-c", "exec 2>&1; echo mine; touch data; echo $?"}})
		if out, _ := mainOutput(t, s); !strings.HasPrefix(out, "mine\ntouch: data: Permission denied\n1\n") {
			t.Errorf("main process: %q", out)
		}
	})
}

func TestImageWithoutAUser(t *testing.T) {
	layout := testLayout(t, v1.Config{Cmd: []string{"id", "-u"}})
	s, _ := boot(t, sandbox.Spec{Image: layout})
	if out, exit := mainOutput(t, s); out != "0\n" || exit.Code != 0 {
		t.Errorf("its own main process: %q, %+v", out, exit)
	}
	if out := output(t, s, "id -u; pwd"); out != "1000\n/home/sandbox\n" {
		t.Errorf("command: %q", out)
	}
}

func TestImagesThatCannotRun(t *testing.T) {
	cfg, _ := config(t, sandbox.Spec{})
	for what, c := range map[string]struct {
		config v1.Config
		spec   sandbox.Spec
		says   string
	}{
		"nothing to run": {v1.Config{}, sandbox.Spec{}, "no main process of its own"},
		"unknown user":   {v1.Config{Cmd: []string{"id"}, User: "alice"}, sandbox.Spec{}, "alice"},
		"unknown group":  {v1.Config{Cmd: []string{"id"}}, sandbox.Spec{User: "app:nobodies"}, "nobodies"},
	} {
		cfg := cfg
		cfg.Spec = c.spec
		cfg.Spec.Image = "oci:" + testLayout(t, c.config)
		if _, err := sandbox.NewVM(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What is written goes to a disk of the host's that is as large as was asked for, and leaves nothing behind.
func TestWritesGoToADisk(t *testing.T) {
	cfg, _ := config(t, sandbox.Spec{
		Image: testLayout(t, v1.Config{Cmd: []string{"sleep", "infinity"}}), Kernel: mustKernel(t), MemoryBytes: 256 << 20, DiskBytes: 512 << 20, User: "root",
	})
	var err error
	if cfg.Images, err = image.OpenCache(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	s, err := sandbox.NewVM(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeVM(t, s)
	script := `dd if=/dev/zero of=/big bs=1M count=300 2>/dev/null && stat -c %s /big; df -m / | grep overlay | { read _ size _; echo $size; }; dd if=/dev/zero of=/bigger bs=1M count=300 2>&1 | grep -c "No space"`
	out := strings.Fields(output(t, s, script))
	if len(out) != 3 || out[0] != "314572800" || len(out[1]) != 3 || out[1] < "400" || out[2] != "1" {
		t.Errorf("%q", out)
	}
	if left, err := filepath.Glob(filepath.Join(cfg.Images.Dir(), "scratch", "*.ext4")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
