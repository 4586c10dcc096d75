package main_test

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// The suite that every sandbox has to pass, on the agent as a process of an ordinary account.
func TestConformance(t *testing.T) {
	plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox {
		return startProcessAs(t, guestLike(t), &syscall.SysProcAttr{Credential: nobody})
	}, plugintest.Excuse(sandbox.CapUsers)) // an ordinary account cannot become another
}

// The same with cgroups, as far as this machine has them.
func TestConformanceWithCgroups(t *testing.T) {
	plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox {
		root := cgroups(t)
		dir, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		attr := &syscall.SysProcAttr{Credential: nobody, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		return startProcessAs(t, guestLike(t), attr, "-cgroup", root)
	}, plugintest.Excuse(sandbox.CapUsers))
}

func TestConformanceMain(t *testing.T) {
	plugintest.SandboxMain(t, func(t *testing.T, main []string) sandbox.Sandbox {
		config := guestLike(t)
		config.Main = &boot.Main{Args: main}
		return startProcessAs(t, config, &syscall.SysProcAttr{Credential: nobody})
	})
}

// The same suite, unchanged, on the agent as PID 1 of a machine.
func TestConformanceInMachine(t *testing.T) {
	plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox {
		config := newConfig()
		v := startVM(t, config, options{})
		v.ready()
		return v.client(config.Token)
	})
}

func TestConformanceMainInMachine(t *testing.T) {
	plugintest.SandboxMain(t, func(t *testing.T, main []string) sandbox.Sandbox {
		config := newConfig()
		config.Main = &boot.Main{Args: main}
		v := startVM(t, config, options{})
		v.ready()
		return v.client(config.Token)
	})
}

// nobody is an account without rights. Everything is its own, so that no limit asks for a capability, which a container that
// the tests run in may lack. Changing the account is held against the contract in a machine.
var nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

// guestLike makes this machine look like the guest's base image to commands: an ordinary account, and busybox's nc.
func guestLike(t *testing.T) *boot.Config {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("running commands as another account needs root")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("%v; install it with: apt-get install busybox-static", err)
	}
	// Not below t.TempDir, where only its owner may go.
	dir, err := os.MkdirTemp("", "agent-conformance")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := newConfig()
	config.AnnouncePort = 0
	config.User = boot.User{UID: nobody.Uid, GID: nobody.Gid, Name: "nobody", Home: dir}
	config.Env = map[string]string{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:" + dir}
	err = errors.Join(os.Symlink(busybox, filepath.Join(dir, "nc")), os.Chmod(dir, 0o755), os.Chown(dir, int(nobody.Uid), int(nobody.Gid)))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// cgroups makes a part of the cgroup v2 hierarchy for one agent.
func cgroups(t *testing.T) string {
	t.Helper()
	mount := t.TempDir()
	if err := unix.Mount("none", mount, "cgroup2", 0, ""); err != nil {
		t.Skipf("mounting cgroup v2 needs root: %v", err)
	}
	root := filepath.Join(mount, "voidbox-"+rand.Text())
	err := os.Mkdir(root, 0o755)
	for _, path := range []string{mount, filepath.Dir(mount)} {
		err = errors.Join(err, os.Chmod(path, 0o755))
	}
	for _, path := range []string{root, root + "/cgroup.procs", root + "/cgroup.subtree_control"} {
		err = errors.Join(err, os.Chown(path, int(nobody.Uid), int(nobody.Gid)))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Remove(filepath.Join(root, "work"))
		err := errors.Join(os.Remove(filepath.Join(root, "agent")), os.Remove(root), unix.Unmount(mount, 0))
		if err != nil {
			t.Error(err)
		}
	})
	return root
}
