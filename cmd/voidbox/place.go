package main

import (
	"strings"

	"github.com/voidbox-run/voidbox/core/shim"
)

// place is a path, of this machine or in a named sandbox.
type place struct {
	name string // of the sandbox; empty for this machine
	path string
}

func (p place) inside() bool { return p.name != "" }

// splitPlace reads NAME:PATH or PATH. What begins with a slash or a dot is a path of this machine, whatever colons are in it; a path
// in a sandbox that is not absolute counts from the root.
func splitPlace(text string) place {
	name, path, named := strings.Cut(text, ":")
	if !named || shim.CheckName(name) != nil {
		return place{path: text}
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return place{name: name, path: path}
}
