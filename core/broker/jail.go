package broker

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
)

// maxFiles is room for a guest's connections, and as many to upstreams.
const maxFiles = 1024

// resolverFiles are what Go's resolver reads again and again.
var resolverFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}

// resolved are the files' real places: a rule of Landlock holds for a file, not for a link to it.
func resolved(files []string) []string {
	var real []string
	for _, f := range files {
		if p, err := filepath.EvalSymlinks(f); err == nil {
			real = append(real, p)
		}
	}
	return real
}

// systemRoots reads the certificates that this machine trusts while they can be read.
func systemRoots() (*tls.Config, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
