// Package dns is the resolver that a guest asks: it forwards to the host's resolvers what the policy lets it forward.
//
// # A question's way
//
//	question ── policy ── services ── cache ── flight ── upstreams ── answer ── filter ── guest
//	               │                                                   │
//	           NXDOMAIN                                          names learned
//
// The policy comes first: a name that it denies is answered with NXDOMAIN, and nobody is asked, since asking carries the name out.
// Services of the host have names of their own. Guests that ask the same at once share one flight upstream.
//
// # What an answer may say
//
// An answer is not passed on but read and written anew. Of what an upstream says, only the chain from the asked name through aliases
// (CNAME) to the records of the asked type is kept (RFC 5452, section 6), and of its addresses only those that a public name may have
// (no rebinding to the host, its neighbours or the guest's own network). A chain that passes through a denied name is denied. The
// addresses that remain are reported to the policy, with their time to live.
//
// # Forgery
//
// Each question upstream has a socket of its own, hence a random port, that the kernel connects to the one resolver, a random ID, and
// must be repeated by the answer (RFC 5452, section 9). Questions in flight are never asked twice at once.
package dns
