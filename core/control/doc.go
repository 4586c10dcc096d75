// Package control is how one voidbox process speaks to a run that another one executes: `voidbox ps`, `why --run`, `publish`, `cancel`.
//
// A run that lives listens at a unix socket in its host's private directory, where sockets have room for their names, and leaves a
// link to it, control.sock, in its run directory, where others look for it. The link goes with the run; one that a killed run left
// behind leads nowhere, and that is how it is told from one that lives.
//
// What is spoken is HTTP with JSON, so that curl will do:
//
//	GET  /run         what the run is, and its networks
//	GET  /explain     ?stage= &protocol= &host= &port=   what its networks would do with a flow
//	POST /publish     a Publish: a port of a guest becomes one of the host
//	POST /unpublish   an Unpublish
//	POST /cancel      ends the run as Ctrl-C does
//
// Whoever can open the socket is the user: its directory is closed to everybody else. No guest can reach it.
package control
