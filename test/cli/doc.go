// Package cli proves that the real command-line agents work in a sandbox: the programs that people use, from the packages that their
// makers publish, in a VM as an ordinary user, with a skill and an MCP server, against a model server on the host's loopback that
// speaks the real protocol, through the broker, which alone has the key.
//
// Codex is free software and runs in every `make test`. Claude Code is not: `make test-cli` is for those who fetch it
// (VOIDBOX_TEST_CLI=1), and runs what takes longer, too.
package cli
