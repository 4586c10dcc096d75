// Package modelhttp is the HTTP side of a client of a model provider: one exchange at a time, tried again where that may help,
// with errors that say what the user can do.
//
// What is tried again: a connection that fails, the statuses that ask for it (408, 409, 425, 429, 5xx, and 529, with which some
// providers say that they are overloaded), and a stream that breaks off or says in its middle that the provider is overloaded,
// which the reader of the stream reports as a Transient error. A wait that the server asks for is kept to; one that is longer
// than anybody would sit through is an error at once. A server that sends nothing for the idle time is given up.
//
// A credential travels in a header, to the configured base URL only: redirects are not followed, and no error or log holds it.
package modelhttp
