package testbin

import (
	"os"
	"os/exec"
	"testing"
)

// Python tells whether the system's Python has what the example plugin in that language imports, which `make deps-test` installs.
func Python() bool {
	return exec.Command("/usr/bin/python3", "-I", "-c", "import grpc, google.protobuf").Run() == nil
}

// RequirePython skips a test that needs it, or fails it under VOIDBOX_REQUIRE_VM=1.
func RequirePython(t testing.TB) {
	t.Helper()
	switch {
	case Python():
	case os.Getenv("VOIDBOX_REQUIRE_VM") == "1":
		t.Fatal("/usr/bin/python3 has no grpc: apt-get install python3-grpcio python3-protobuf")
	default:
		t.Skip("/usr/bin/python3 has no grpc (with VOIDBOX_REQUIRE_VM=1 this is a failure)")
	}
}
