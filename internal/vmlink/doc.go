// Package vmlink makes the devices of a VM that are wired to another process by a link: the network card and the file system.
// Both monitors plug the same models in, so what they dial, count and report is written here once.
package vmlink
