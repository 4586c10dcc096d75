package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestChoose(t *testing.T) {
	usable := func() (string, error) { return KVM, nil }
	broken := func() (string, error) { return KVM, errors.New("neither vmx nor svm") }
	cases := []struct {
		wanted   string
		hardware hardwareFunc
		want     string
		kind     error
		says     string
	}{
		{"", usable, KVM, nil, ""},
		{Auto, usable, KVM, nil, ""},
		{Auto, broken, TCG, nil, ""},
		{TCG, usable, TCG, nil, ""},
		{KVM, usable, KVM, nil, ""},
		{KVM, broken, "", errdef.ErrUnavailable, "neither vmx nor svm"},
		{HVF, usable, "", errdef.ErrUnavailable, "this system has none"},
		{"xen", usable, "", errdef.ErrInvalid, "xen"},
	}
	for _, c := range cases {
		got, err := choose(c.wanted, c.hardware)
		if got != c.want || !errors.Is(err, c.kind) {
			t.Errorf("choose(%q) = %q, %v; want %q, %v", c.wanted, got, err, c.want, c.kind)
		}
		if c.says != "" && !strings.Contains(err.Error(), c.says) {
			t.Errorf("choose(%q): error %q does not say %q", c.wanted, err, c.says)
		}
		if errors.Is(c.kind, errdef.ErrUnavailable) && errdef.Remedy(err) == "" {
			t.Errorf("choose(%q): no remedy", c.wanted)
		}
	}
}

func TestMissingQEMUNamesThePackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Find("")
	if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(errdef.Remedy(err), "install qemu") {
		t.Errorf("error %v with remedy %q", err, errdef.Remedy(err))
	}
}

func TestFindLooksInPath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Program())
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho QEMU emulator version 8.2.1 '(Debian)'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	got, err := Find("")
	if err != nil || got != path {
		t.Fatalf("Find() = %q, %v; want %q", got, err, path)
	}
	version, err := Version(t.Context(), got)
	if err != nil || version != "8.2.1" {
		t.Errorf("Version() = %q, %v", version, err)
	}
}

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"7.2.22": true, "6.2.0": true, "10.0.0": true, "6.1.9": false, "4.2.1": false, "": false, "dev": false,
	} {
		if err := CheckVersion(version); (err == nil) != ok {
			t.Errorf("CheckVersion(%q) = %v", version, err)
		}
	}
}
