package network_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/voidbox-run/voidbox/test/lab"
)

// Names and addresses of the internet's servers.
const (
	webName, webAddress = "web.example", "203.0.113.10"
	gitName, gitAddress = "git.example", "203.0.113.20"
	debName, debAddress = "deb.example", "203.0.113.30"
)

// blobSize is that of a large download. In the lab a guest's processor is emulated twice over.
func blobSize() int64 {
	if lab.Inside() {
		return 8 << 20
	}
	return 128 << 20
}

// blob is bytes, the same every time, that nobody can guess or squeeze.
func blob() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), blobSize()) }

// sum reads to the end and returns the SHA-256 in hexadecimal.
func sum(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// serve answers HTTP at port 80 of a new address of the internet.
func (h *host) serve(name, address string, handler http.Handler) {
	h.Helper()
	h.AddName(name, address)
	s := &httptest.Server{Listener: h.Listen(net.JoinHostPort(address, "80")), Config: &http.Server{Handler: handler}}
	s.Start()
	h.Cleanup(s.Close)
}

// web is a server with a page, a blob to get, and a place to put something, which answers with its sum.
func (h *host) web() {
	h.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "a page of %s\n", r.Host) })
	mux.HandleFunc("GET /blob", serveBlob)
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		s, err := sum(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, s)
	})
	h.serve(webName, webAddress, mux)
}

func serveBlob(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(blobSize()))
	_, _ = io.Copy(w, blob())
}

// blobSum is the sum of the blob.
func (h *host) blobSum() string {
	h.Helper()
	s, err := sum(blob())
	h.must(err)
	return s
}

// gitServer serves repositories below the directory that it returns, for reading and writing, by git's own program.
func (h *host) gitServer() string {
	h.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	h.must(err)
	root := h.TempDir()
	h.serve(gitName, gitAddress, &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root},
	})
	return root
}

// git runs git on the host.
func (h *host) git(args ...string) string {
	h.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// debianMirror serves a repository with one package, big, whose content is the blob. apt checks what it gets, and does not look
// into it before it unpacks it.
func (h *host) debianMirror() {
	h.Helper()
	index := fmt.Sprintf("Package: big\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example>\nDescription: large\nFilename: ./big.deb\nSize: %d\nSHA256: %s\n", blobSize(), h.blobSum())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /Packages", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, index) })
	mux.HandleFunc("GET /big.deb", serveBlob)
	h.serve(debName, debAddress, mux)
}

// echo answers each datagram with itself.
func echo(c net.PacketConn) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.WriteTo(b[:n], from)
		}
	}
}
