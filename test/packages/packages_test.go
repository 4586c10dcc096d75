package packages_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }

const file = `profile "tools" {
  packages = ["file", "python3-minimal"]
  env      = { WHO = "profile" }
}

sandbox "dev" {
  backend       = "qemu"
  profiles      = [profile.tools]
  packages      = ["bc"]
  main          = ["sh", "-c", "python3 -c 'print(6*7)'; echo 2^10 | bc; echo $WHO; file -v | head -c 4"]
  ready_timeout = "5m"
}
`

// TestPackagesOfAProfile runs programs of packages in a VM, and then has the lock file say that they must be others.
func TestPackagesOfAProfile(t *testing.T) {
	if testing.Short() {
		t.Skip("a distribution takes minutes to make")
	}
	testvm.Require(t)
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		testvm.Missing(t, "no mmdebstrap: %v", err)
	}
	dir := t.TempDir()
	path, lock := filepath.Join(dir, "dev.hcl"), filepath.Join(dir, "voidbox.lock.hcl")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (stdout, stderr string, err error) {
		cmd := exec.Command(filepath.Join(testbin.Dir(t), "voidbox"), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "XDG_STATE_HOME="+dir)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		err = cmd.Run()
		return out.String(), said.String(), err
	}
	stdout, stderr, err := run("run", path)
	if want := "42\n1024\nprofile\nfile"; err != nil || stdout != want {
		t.Fatalf("%v: got %q, want %q\n%s", err, stdout, want, stderr)
	}
	text, err := os.ReadFile(lock)
	pinned := regexp.MustCompile(`packages "bc,file,python3-minimal" \{\n  image = "(sha256:[0-9a-f]{64})"`).FindSubmatch(text)
	if err != nil || pinned == nil {
		t.Fatalf("lock file: %v\n%s", err, text)
	}
	results, err := filepath.Glob(filepath.Join(dir, "voidbox", "runs", "*", "result.json"))
	if err != nil || len(results) != 1 {
		t.Fatalf("results %v, %v", results, err)
	}
	if result, err := os.ReadFile(results[0]); err != nil || !bytes.Contains(result, pinned[1]) {
		t.Errorf("the result does not name the image %s: %v\n%s", pinned[1], err, result)
	}
	namedSandbox(t, run, string(pinned[1]))
	other := regexp.MustCompile("sha256:[0-9a-f]{64}").ReplaceAll(text, []byte("sha256:"+strings.Repeat("ab", 32)))
	if err := os.WriteFile(lock, other, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, err = run("run", path)
	if err == nil || !strings.Contains(stderr, "Debian has other versions now") || !strings.Contains(stderr, "remove the block packages") {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// namedSandbox makes one of the same packages by flags, and looks what it says of itself.
func namedSandbox(t *testing.T, run func(...string) (string, string, error), id string) {
	t.Helper()
	must := func(args ...string) string {
		t.Helper()
		stdout, stderr, err := run(args...)
		if err != nil {
			t.Errorf("voidbox %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		return stdout
	}
	must("sandbox", "create", "packages", "--backend", "qemu", "--packages", "file,bc,python3-minimal")
	defer must("sandbox", "remove", "--force", "packages")
	info := must("info", "packages")
	for _, want := range []string{`image +packages bc,file,python3-minimal  ` + id, `uptime +\d`, `mount +/ +overlay`} {
		if !regexp.MustCompile("(?m)^" + want).MatchString(info) {
			t.Errorf("no line %q in\n%s", want, info)
		}
	}
}
