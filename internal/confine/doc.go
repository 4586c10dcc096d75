// Package confine is what a plugin of ours does to itself before the bytes of a guest reach it, but for the list of its system
// calls, which is the plugin's own (see internal/seccomp):
//
//   - no environment, and bounded descriptors, core dumps and message queues;
//   - not dumpable, so that other processes of the same user see nothing of it in /proc;
//   - no capabilities and no new privileges;
//   - a Landlock domain with nothing in it but the directories of its own sockets, to be listed and removed.
//
// All of that holds for every thread, and for good.
package confine
