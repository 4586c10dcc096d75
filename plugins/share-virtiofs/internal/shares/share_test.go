//go:build linux

package shares

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/share"
)

func TestFilesGoThrough(t *testing.T) {
	host, guest := shared(t, share.ReadWrite)
	write(t, filepath.Join(host, "from host"), "hello")
	if got := read(t, filepath.Join(guest, "from host")); got != "hello" {
		t.Errorf("the guest reads %q", got)
	}
	write(t, filepath.Join(guest, "from guest ü"), "world")
	if got := read(t, filepath.Join(host, "from guest ü")); got != "world" {
		t.Errorf("the host reads %q", got)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
