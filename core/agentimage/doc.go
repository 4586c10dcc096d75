// Package agentimage builds the images that command-line agents run in: a small Debian with the agent's program, out of Debian's
// archive and the npm registry.
//
// A [Recipe] says what goes in: Debian packages by name, which apt holds to the archive's signatures, and npm packages by name,
// version, and the SHA-512 that the registry's own metadata gave when the recipe was written. What the registry sends is held to it
// while it streams, so that neither the registry nor anything on the way decides what runs in a sandbox. Recipes are part of voidbox
// (recipes/*.json, written by `go run ./core/agentimage/pin`); the programs are not: they are fetched at the user's command, under
// their own licences.
//
//	mmdebstrap ──── root.tar ─────┐
//	npm tarball ─── repack ───────┼── OCI layout ── core/image ── localhost/voidbox/NAME:VERSION
//	programs ────── links ────────┘
//
// Nothing is installed: npm's install scripts do not run, and no file of a package is written to the host under a name that the
// package chose. A tarball becomes a layer, entry by entry, and the layer becomes a part of a disk; see core/image/layer for what
// a name means there.
package agentimage
