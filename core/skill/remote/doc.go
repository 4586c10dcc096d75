// Package remote fetches a skill from a Git repository or an archive on a web server.
//
// Whoever can change what lies there could tell an agent what to do, so a source is worth what its hash is: Fetch gives a directory
// whose content has the hash that the plan pins, or nothing. The hash is that of go.sum, "h1:" over the names and contents of the
// files (golang.org/x/mod/sumdb/dirhash); the permission to execute is no part of it. The directory lies in the cache under its
// hash, so that what was fetched once needs no network.
//
// The server is a stranger until the hash has been checked, which is after its bytes have been unpacked. So Git runs without any
// configuration, hooks or credentials, checks nothing out, and hands over a tar stream; and that stream, like any archive, is
// unpacked into an empty directory by a reader that knows regular files and directories only, and counts.
package remote
