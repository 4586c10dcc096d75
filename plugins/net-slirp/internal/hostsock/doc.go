// Package hostsock makes the host's sockets as bare non-blocking descriptors, for relays that wait for thousands of them with one
// goroutine (package loop). What net makes would bring a goroutine for each, and a look at the resolver's files.
package hostsock
