package sandbox_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// An image of a real distribution, made with mmdebstrap into an OCI layout, pushed to a registry and pulled by digest, runs python3
// and node.
func TestDistribution(t *testing.T) {
	if testing.Short() {
		t.Skip("a distribution takes minutes to make")
	}
	l, err := tarball.LayerFromFile(testvm.Archive(t), tarball.WithCompressionLevel(1))
	if err != nil {
		t.Fatal(err)
	}
	img := testimage.Image(t, v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, Cmd: []string{"python3", "-c", "import sys; print(*sys.version_info[:1])"}}, l)
	layout := testimage.Layout(t, map[string]v1.Image{"12": img})
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	registry := testimage.NewRegistry(t)
	registry.Push(t, "debian:12", testimage.Open(t, layout))

	cfg, _ := config(t, sandbox.Spec{Image: registry.Host + "/debian@" + digest.String(), MemoryBytes: 1 << 30})
	if cfg.Images, err = image.OpenCache(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	cfg.Spec.Kernel = mustKernel(t)
	ctx := image.WithProgress(t.Context(), func(line string) { t.Log(line) })
	s, err := sandbox.NewVM(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeVM(t, s)
	if out, exit := mainOutput(t, s); out != "3\n" || exit.Code != 0 {
		t.Errorf("main process: %q, %+v", out, exit)
	}
	for script, want := range map[string]string{
		`python3 -c 'import os, pwd; print(os.getuid(), pwd.getpwuid(os.getuid()).pw_name)'`:                     "1000 sandbox",
		`node -e 'const os = require("os"); console.log([1, 2].map(n => n * 2).join(), os.userInfo().username)'`: "2,4 sandbox",
		`. /etc/os-release; echo $ID $VERSION_ID`:                                                                "debian 12",
		`cd /workspace && python3 -c 'open("x", "w").write("kept")' && node -p 'fs.readFileSync("x", "utf8")'`:   "kept",
		`stat -c %a /usr/bin/passwd /tmp`:                                                                        "4755\n1777",
	} {
		if out := strings.TrimSpace(output(t, s, script)); out != want {
			t.Errorf("%s: %q, want %q", script, out, want)
		}
	}
}
