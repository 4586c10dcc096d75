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

// gitServer serves repo.git, which lies in the directory that it returns, for reading and writing, by git's own program. The lab has no
// git: there it is served as files, which is enough for reading.
func (h *host) gitServer() (root string) {
	h.Helper()
	if lab.Inside() {
		root = filepath.Dir(labRepository)
		h.serve(gitName, gitAddress, http.FileServer(http.Dir(root)))
		return root
	}
	out, err := exec.Command("git", "--exec-path").Output()
	h.must(err)
	root = h.TempDir()
	h.must(makeRepository(filepath.Join(root, "repo.git"), h.TempDir(), 8))
	h.serve(gitName, gitAddress, &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root},
	})
	return root
}

// head returns the commit that a repository's branch is at.
func (h *host) head(root string) string {
	h.Helper()
	b, err := os.ReadFile(filepath.Join(root, "repo.git", "refs", "heads", "main"))
	h.must(err)
	return strings.TrimSpace(string(b))
}

// makeRepository makes a bare repository with some files in one commit, each half a megabyte larger than the one before.
func makeRepository(bare, scratch string, files int) error {
	work := filepath.Join(scratch, "work")
	if err := git("init", "-q", "-b", "main", work); err != nil {
		return err
	}
	for i := range files {
		content, err := io.ReadAll(io.LimitReader(blob(), int64(i+1)<<19))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, fmt.Sprint(i)), content, 0o644); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"-C", work, "add", "."},
		{"-C", work, "commit", "-q", "-m", "some files"},
		{"init", "-q", "--bare", "-b", "main", bare},
		{"-C", bare, "config", "http.receivepack", "true"},
		{"-C", work, "push", "-q", bare, "HEAD:main"},
		{"-C", bare, "update-server-info"},
	} {
		if err := git(args...); err != nil {
			return err
		}
	}
	return nil
}

// git runs git on the host.
func git(args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
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
