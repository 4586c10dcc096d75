package testvm

import (
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
)

// Distribution is a small Debian with the two languages that agents use most.
var Distribution = Debian{Packages: []string{"bash", "nodejs", "python3-minimal"}, Customize: `rm -rf "$1"/var/cache/* "$1"/var/log/*`}

// Archive returns the path of an archive of [Distribution], 250 MB, as `FROM scratch; ADD` would put it into an image. The first call
// on a machine builds it, which takes two minutes and a network. Where it cannot be built, the test ends as [Require] says.
func Archive(t testing.TB) string {
	t.Helper()
	cache, err := image.OpenCache("")
	if err != nil {
		t.Fatal(err)
	}
	path, err := Distribution.Tar(image.WithProgress(t.Context(), func(s string) { t.Log(s) }), cache, func(s string) { t.Log(s) })
	if err != nil {
		Missing(t, "no distribution: %v", err)
	}
	return path
}
