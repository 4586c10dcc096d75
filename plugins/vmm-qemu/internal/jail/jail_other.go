//go:build !linux

package jail

// Files are what a program may open.
type Files struct{ Read, Write []string }

// Grants are what a confined process keeps.
type Grants struct{ Dirs []string }

// Thread does nothing: this system has neither Landlock nor seccomp.
func Thread(Files) error { return nil }

// Process does nothing: this system has neither Landlock nor seccomp.
func Process(Grants) error { return nil }
