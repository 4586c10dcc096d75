// Package boot is what a virtual machine and the guest agent inside it agree upon before they can talk: the boot
// configuration, and the announcement by which the agent says how far it has come.
//
// # The boot configuration
//
// The host writes a [Config] as JSON into a file of its own in an initramfs segment, at [Path], readable by root only. The
// agent reads it before anything else and unlinks it. It is not on the kernel command line, which every process of the
// guest can read, because it holds the token that authorises every call to the agent.
//
// Parsing is strict: an unknown field, a second value, a missing token is an error that names the field. Host and agent
// are built together, and a field that one of them does not know would be a setting that silently has no effect.
//
// # The announcement
//
// Nobody polls for the agent. It dials out to the host (CID [HostCID], port Config.AnnouncePort) as soon as there is a
// socket device, and writes one [Announcement] a line: each [Stage] as it is entered, those that came before the socket
// first, and at the end [StageReady] or [StageFailed] with the error. A host that sees the connection end without either
// knows the stage that the boot died in. The same stages go to the console as lines "voidbox: stage <name>", since the
// socket device may be the very thing that does not work; [ConsoleStage] reads them.
//
// Everything that arrives from a guest is hostile: [ReadAnnouncements] bounds the length of a line and their number.
package boot
