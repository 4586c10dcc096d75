// Package peercred asks the kernel who is at the other end of a unix socket: SO_PEERCRED on Linux (unix(7)), LOCAL_PEERCRED
// and LOCAL_PEERPID on Darwin. What it says was true when the peer connected, or began to listen.
package peercred
