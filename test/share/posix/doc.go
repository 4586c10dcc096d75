//go:build linux

// Package posix asks a directory several hundred questions about what Linux promises of a file system: POSIX.1-2017, and Linux's own
// calls as their manual pages have them. Each question is a case: a small tree of files, and a function that asserts something.
//
//	a.test("rename/over a file", "a=1 b=2", func(t *T) {
//		t.must(os.Rename(t.at("a"), t.at("b")))
//		t.reads("b", "1")
//	})
//
// The trees are made beforehand, by another call (Prepare), for two reasons. On a shared directory they are files that the host has
// made. Below an overlay they are what is only read, so that whatever a case changes has to be copied up first.
//
// The answers of a file system that is known to be right, ext4, say whether the questions are right. Command posixcheck runs the
// cases where it stands, also inside a VM, and prints a line for each.
package posix
