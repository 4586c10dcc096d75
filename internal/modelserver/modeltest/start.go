// Package modeltest starts a scripted model server for the length of a test.
package modeltest

import (
	"net"
	"net/http"
	"testing"

	"github.com/voidbox-run/voidbox/internal/modelserver"
)

// Start serves rules for the length of a test, and returns what an llm block names as its server. Network is tcp or unix.
func Start(t testing.TB, network string, rules ...modelserver.Rule) string {
	t.Helper()
	s, err := modelserver.New(rules...)
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
	srv := &http.Server{Handler: s}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(listener) }()
	t.Cleanup(func() { srv.Close(); <-done })
	if network == "unix" {
		return "unix:" + address
	}
	return "http://" + listener.Addr().String()
}
