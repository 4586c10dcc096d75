// Package taplink stands in for a VM: it is the device's end of a link, and behind it is a TAP device with offloads, so that the
// kernel of a network namespace plays the guest. Programs like curl and iperf3 then run against a network plugin without a VM.
//
//	curl ── kernel of the namespace ── TAP ── taplink ══ link ══ network plugin
//
// It needs CAP_NET_ADMIN in the namespace, and is for tests and benchmarks. Beside a VM it has two system calls more for each frame.
package taplink
