package lab

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/internal/kvmhost"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// RequireKVM lets a test or a benchmark go on where KVM works: on hardware, and in the lab. Elsewhere it ends it as
// skipped, notes its name, and [Main] runs it in the lab when all others are through.
func RequireKVM(t testing.TB) {
	t.Helper()
	require(t, "KVM", func() error { return kvmhost.Local().Check() })
}

// RequireVhostVsock is RequireKVM for a test that needs /dev/vhost-vsock, too.
func RequireVhostVsock(t testing.TB) {
	t.Helper()
	require(t, "vhost-vsock", func() error {
		if err := kvmhost.Local().Check(); err != nil {
			return err
		}
		f, err := os.OpenFile("/dev/vhost-vsock", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

func require(t testing.TB, what string, check func() error) {
	t.Helper()
	err := check()
	if err == nil {
		return
	}
	if Inside() {
		t.Fatalf("%s does not work in the lab: %v", what, err)
	}
	if testing.Short() {
		t.Skipf("no usable %s here: %v; with -short no lab is booted for it", what, err)
	}
	if _, missing := findQEMU(); missing != nil {
		if os.Getenv(testvm.RequireEnv) == "1" {
			t.Fatalf("no usable %s here: %v; and no lab: %v", what, err, missing)
		}
		t.Skipf("no usable %s here: %v; and no lab: %v (with %s=1 this is a failure)", what, err, missing, testvm.RequireEnv)
	}
	if !noted.add(t) {
		t.Fatalf("no usable %s here: %v; for the lab to take over, TestMain must call lab.Main", what, err)
	}
	t.Skipf("no usable %s here: %v; it will run in the lab when the others are through", what, err)
}

// noted are the tests of this process that wait for the lab.
var noted notes

type notes struct {
	mu         sync.Mutex
	awaited    bool // Main is there, and will run them
	tests      []string
	benchmarks []string
}

// add returns false where nobody would run the test.
func (n *notes) add(t testing.TB) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := t.(*testing.B); ok {
		n.benchmarks = append(n.benchmarks, t.Name())
	} else {
		n.tests = append(n.tests, t.Name())
	}
	return n.awaited
}

func (n *notes) await() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.awaited = true
}

// summary names them for a message.
func (n *notes) summary() string {
	all := append(append([]string(nil), n.tests...), n.benchmarks...)
	if len(all) > 5 {
		return fmt.Sprintf("%d tests, %v and so on", len(all), all[:5])
	}
	return fmt.Sprint(all)
}
