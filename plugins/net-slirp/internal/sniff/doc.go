// Package sniff reads the name of a server from the first bytes that a client sends: TLS server name indication (RFC 6066, section
// 3), or HTTP/1's Host (RFC 9112, section 3.2).
//
// # What it is good for
//
// A name that a client sends is the client's word. It proves nothing about the server, but it decides which server answers behind an
// address that many share. Package policy joins both: the address must be one that the name was resolved to, and the name must be
// one that is allowed.
//
// # Reading what a server reads
//
// A policy holds only if the server understands the same bytes in the same way. So everything here is strict: bytes that two readers
// can understand differently (a second Host, a length that is given twice, a bare line feed, a folded header) are refused, and so is
// whatever hides the name: an encrypted hello (RFC 9849), HTTP/2 without TLS, a tunnel by CONNECT or by an upgrade.
//
// First looks at the beginning of a stream. What comes later can name another server as well (a second request on a kept connection,
// the second hello after a TLS HelloRetryRequest), and Guard watches for that.
package sniff
