package share

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/internal/nativeshare"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/test/share/posix"
)

// fewestCases is how many questions there are at least, for each of the users below, root's and others' taken together.
const fewestCases = 700

// everybody are the users that the cases are run as. The first is what commands in a guest are.
var everybody = []struct {
	name string
	uid  uint32
}{{"user", 1000}, {"root", 0}}

// TestPosixNatively has the host's kernel as the guest: the plugin is the real one, in its jail.
func TestPosixNatively(t *testing.T) {
	requireMount(t)
	for _, who := range everybody {
		want := reference(t, who.name, who.uid)
		for _, target := range []string{"rw", "overlay", "always"} {
			if target == "always" && who.uid == 0 {
				continue // which is no more than rw and root, and always and another
			}
			t.Run(target+"/"+who.name, func(t *testing.T) {
				host := prepared(t)
				m := share.Mount{HostPath: host, Tag: "m", Mode: share.ReadWrite, IDMap: nativeshare.IDs()}
				switch target {
				case "overlay":
					m.Mode, m.UpperPath = share.Overlay, open(t)
				case "always":
					m.Cache = share.CacheAlways
				}
				s, err := nativeshare.Mount(t.Context(), testbin.Dir(t), m)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				}()
				compare(t, target, want, verdicts(t, ask(t, who.uid, s.Path("m"))))
			})
		}
	}
}

// TestPosixInAVM has a guest's kernel, and virtio-fs between.
func TestPosixInAVM(t *testing.T) {
	bin := filepath.Dir(posixcheck(t))
	rw, below := open(t), open(t)
	for _, who := range everybody {
		for _, dir := range []string{rw, below} {
			prepare(t, filepath.Join(dir, who.name))
		}
	}
	g := boot(t, func(s voidbox.RunnableSandbox) voidbox.RunnableSandbox {
		return s.Mount("/bin.d", bin, "ro").Mount("/rw", rw, "rw").Mount("/overlay", below, "overlay")
	})
	for _, who := range everybody {
		want := reference(t, who.name, who.uid)
		for _, target := range []string{"rw", "overlay"} {
			t.Run(target+"/"+who.name, func(t *testing.T) {
				args := []string{"/bin.d/" + checkName, "/" + target + "/" + who.name}
				out, err := g.box.Command(t.Context(), sandbox.Command{Args: args, User: fmt.Sprintf("%d:%d", who.uid, who.uid)}, nil)
				if err != nil || out.ExitCode != 0 {
					t.Errorf("%v: exit status %d, %v\n%s", args, out.ExitCode, err, out.Stderr)
				}
				compare(t, target, want, verdicts(t, out.Stdout))
			})
		}
	}
}

// references are what reference has found.
var references = map[uint32]map[string]string{}

// reference asks a directory of the host's, which should be on ext4. It does so once for each user.
func reference(t *testing.T, name string, uid uint32) map[string]string {
	t.Helper()
	if known := references[uid]; known != nil {
		return known
	}
	dir := prepared(t)
	if uid != uint32(os.Getuid()) {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				err = os.Lchown(path, int(uid), int(uid))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	got := verdicts(t, ask(t, uid, dir))
	asked := 0
	for name, verdict := range got {
		if verdict != posix.Skipped {
			asked++
		}
		if st.Type == unix.EXT4_SUPER_MAGIC && verdict != posix.Passed && verdict != posix.Skipped {
			t.Errorf("%s on ext4: %s", name, verdict)
		}
	}
	t.Logf("the reference for %s is %s, of file system type %#x: %d cases", name, dir, st.Type, asked)
	if asked < fewestCases {
		t.Errorf("%d cases are fewer than %d", asked, fewestCases)
	}
	references[uid] = got
	return got
}

// compare demands of a share what holds on the reference, but for what is known.
func compare(t *testing.T, target string, want, got map[string]string) {
	t.Helper()
	asked := 0
	for name, verdict := range want {
		if verdict != posix.Passed {
			continue
		}
		asked++
		why := deviation(target, name)
		switch now := got[name]; {
		case now == posix.Passed && why != "":
			t.Errorf("%s is no deviation any more: take it from the list", name)
		case now == "":
			t.Errorf("%s was not asked", name)
		case now != posix.Passed && why == "":
			t.Errorf("%s: %s", name, now)
		}
	}
	t.Logf("%d cases", asked)
}

// verdicts are the lines of posixcheck, by case: what is wrong with it, or Passed, or Skipped.
func verdicts(t *testing.T, out []byte) map[string]string {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		verdict, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name, reason, _ := strings.Cut(rest, ": ")
		if verdict == posix.Failed {
			verdict = reason
		}
		got[name] = verdict
	}
	return got
}

// ask runs the cases on this host.
func ask(t *testing.T, uid uint32, dir string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), posixcheck(t), dir)
	if uid != uint32(os.Getuid()) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, errs.Bytes())
	}
	return out
}

func prepared(t *testing.T) string {
	t.Helper()
	dir := open(t)
	prepare(t, dir)
	return dir
}

func prepare(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), posixcheck(t), "-prepare", dir).CombinedOutput(); err != nil {
		t.Fatalf("prepare %s: %v\n%s", dir, err, out)
	}
}

// open returns a directory into which other users can go.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "posix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// removeAll removes a tree in which cases may have left directories without permissions.
func removeAll(t *testing.T, dir string) {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

const checkName = "posixcheck"

// posixcheck builds the program, once.
func posixcheck(t *testing.T) string {
	t.Helper()
	path := filepath.Join(testbin.Dir(t), "posix", checkName)
	if err := os.Chmod(testbin.Dir(t), 0o755); err != nil { // other users run it
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./test/share/posix/posixcheck")
	cmd.Dir, cmd.Env = testbin.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", checkName, err, out)
	}
	return path
}

// requireMount ends a test that has to mount and may not.
func requireMount(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
		t.Fatal("mounting needs root")
	}
	t.Skip("mounting needs root (with VOIDBOX_REQUIRE_VM=1 this is a failure)")
}
