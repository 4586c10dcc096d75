// Package testvm gives tests what they need to run something inside a real virtual machine: QEMU, a guest kernel, the
// guest agent and a disk with the programs that tests use. Whatever takes long is made once and kept in the cache of
// core/image.
//
// A test that needs a VM calls [Require] first. Where the means are missing it skips and says why, except under
// VOIDBOX_REQUIRE_VM=1, as in CI, where it fails: a test that nobody runs proves nothing.
package testvm
