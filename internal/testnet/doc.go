// Package testnet gives a test a machine with an internet of its own: names, addresses and servers that nobody else has, so that
// what a guest reaches through its network is a real server at an address that is not the host's.
//
//	the test's process                        the internet
//	  plugins, monitors, published ports        servers, each at an address of its own
//	  eth0 192.0.2.2 ─────────── veth ───────── 192.0.2.1, which routes
//	  /etc/resolv.conf: 198.51.100.53           198.51.100.53: a resolver that knows the test's names
//
// Both are network namespaces. The left one belongs to the whole process, and to those that it starts: [Isolate] runs the test
// again in a child that has network and mounts to itself. The right one belongs to no process; sockets are made in it by a thread
// that goes there and does not come back.
package testnet
