package testimage

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is a registry on the loopback that misbehaves on request.
type Registry struct {
	Host string // host:port

	mu    sync.Mutex
	fault func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil serves
	seen  []string
}

// NewRegistry starts an empty registry, which ends with the test.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		fault := r.fault
		if req.Method == http.MethodGet {
			r.seen = append(r.seen, req.URL.Path)
		}
		r.mu.Unlock()
		if fault != nil {
			fault(w, req, store)
			return
		}
		store.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// Misbehave has every request answered by f from now on; nil ends that.
func (r *Registry) Misbehave(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// Seen returns how often a path with that part in it was asked for.
func (r *Registry) Seen(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, path := range r.seen {
		if strings.Contains(path, part) {
			n++
		}
	}
	return n
}

// Push pushes an image or an index, and returns its full name.
func (r *Registry) Push(t testing.TB, repository string, what any) string {
	t.Helper()
	ref, err := name.ParseReference(r.Host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref.Name()
}
