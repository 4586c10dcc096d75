// Package shell is the mock's computer: processes that are goroutines, a shell that is mvdan.cc/sh, and programs from a table.
//
// mvdan.cc/sh was made to run on a host, and reaches for it in more places than its handlers cover. Each of these is closed
// here, and hermetic_test.go holds them shut:
//
//   - files, directories, permissions, programs: handlers over the file system in memory;
//   - command -v, type, source and pwd -P look at the host's file system by themselves: calls to them are replaced (calls.go);
//   - $$, $PPID and background jobs would be the host's processes, ~user its users, TMPDIR the place of its named pipes:
//     scripts are rewritten before they run (rewrite.go), and variables answered for (environ.go);
//   - process substitution makes named pipes on the host: their directory is one that cannot exist, so it fails.
//
// What remains of the host are anonymous pipes, which the interpreter connects commands with.
//
// # Limits
//
// There is no kernel that counts, so this package does. Open files and the size of files are counted by the file system
// (memfs.Quota). Subshells are made processes (fork.go), which have clocks (clock.go): a shell that waits for the left side of a
// pipeline after the right side has ended is taken to be at work. Memory is what variables hold (memory.go); what a word expands
// to is estimated before the interpreter expands it (cost.go, bound.go). Limits are handed down as on Linux (limits.go).
package shell
