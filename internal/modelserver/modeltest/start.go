// Package modeltest starts a scripted model server for the length of a test.
package modeltest

import (
	"io"
	"log"
	"net"
	"net/http"
	"testing"

	"github.com/voidbox-run/voidbox/internal/modelserver"
)

// Start serves rules for the length of a test, and returns what an llm block names as its server. Network is tcp or unix.
func Start(t testing.TB, network string, rules ...modelserver.Rule) string {
	t.Helper()
	_, url := listen(t, network, modelserver.Config{Rules: rules})
	return url
}

// Serve serves a configuration for the length of a test.
func Serve(t testing.TB, cfg modelserver.Config) (*modelserver.Server, string) {
	t.Helper()
	return listen(t, "tcp", cfg)
}

func listen(t testing.TB, network string, cfg modelserver.Config) (*modelserver.Server, string) {
	t.Helper()
	s, err := modelserver.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/model.sock"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(listener) }()
	t.Cleanup(func() { srv.Close(); <-done })
	if network == "unix" {
		return s, "unix:" + address
	}
	return s, "http://" + listener.Addr().String()
}
