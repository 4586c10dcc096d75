package kvm

import (
	"testing"

	"github.com/voidbox-run/voidbox/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// requireKVM is the only way in which tests of this package get to KVM.
func requireKVM(t testing.TB) {
	t.Helper()
	lab.RequireKVM(t)
}
