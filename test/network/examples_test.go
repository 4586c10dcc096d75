package network_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The examples that use a network find the server that they speak of, as whoever follows their first lines does.
func TestExamples(t *testing.T) {
	for name, want := range map[string][]string{
		"network.hcl": {"The moon is made of basalt.", "that was the host", "elsewhere: refused", "denied tcp 198.51.100.1:80 by builtin:default"},
		"fetch.hcl":   {"The library says:\n", "    The moon is made of basalt.", "Not from here.", "(example.com) by builtin:default"},
	} {
		t.Run(strings.TrimSuffix(name, ".hcl"), func(t *testing.T) {
			onMonitors(t, func(h *host) {
				l, err := net.Listen("tcp", "127.0.0.1:8000")
				h.must(err)
				s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "The moon is made of basalt.") })}
				go func() { _ = s.Serve(l) }()
				h.Cleanup(func() { _ = s.Close() })
				out := h.example(name)
				for _, w := range want {
					if !strings.Contains(out, w) {
						h.Errorf("no %q in\n%s", w, out)
					}
				}
			})
		})
	}
}

// example runs one by the command line.
func (h *host) example(name string) string {
	h.Helper()
	dir := h.TempDir()
	h.must(os.CopyFS(dir, os.DirFS(os.Getenv(examplesEnv))))
	file := filepath.Join(dir, name)
	text, err := os.ReadFile(file)
	h.must(err)
	const image = `image   = "base"`
	if !strings.Contains(string(text), image) {
		h.Fatal("the example names no image any more")
	}
	// A machine that is alone fetches nothing, hence kernel and initramfs by name; the rest is as it is.
	own := fmt.Sprintf("%s\n  kernel = %q\n  initrd = %q\n  ready_timeout = \"3m\"", image, os.Getenv(kernelEnv), os.Getenv(initrdEnv))
	h.must(os.WriteFile(file, []byte(strings.Replace(string(text), image, own, 1)), 0o644))
	cmd := exec.CommandContext(h.Context(), filepath.Join(os.Getenv(programsEnv), "voidbox"), "run", "--var", "backend="+h.backend, file)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "TMPDIR=/tmp", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
