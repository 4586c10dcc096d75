// Package broker lends a guest the use of a credential without the credential.
//
// A command-line agent wants a key in its environment. What it gets is a placeholder, which is also its token: 32 random bytes that
// are good at one place only, the broker, and for one sandbox only. The guest reaches the broker as a service of its network; its
// base URL points there, in plain HTTP, so that no certificate is needed in the guest. The broker takes the placeholder off a request,
// puts the key on, and sends it to the one upstream that the key is for.
//
//	guest                      broker (a jailed process)                     upstream
//	POST /v1/messages   ───▶   which grant? which endpoint? budget left?  ─▶ POST /v1/messages
//	x-api-key: vbx-...         x-api-key: the key                            over TLS
//
// # What holds
//
//   - The guest chooses neither host nor credential: both are the grant's. Of the upstream it reaches the endpoints of model APIs
//     (see endpoints.go), not files, batches or the administration that the same key may open.
//   - Everything else that a request could identify itself with is taken off: other credentials, cookies, what proxies add.
//   - Tokens and money are counted from what the upstream says, not from what the guest's agent claims, and a request after the
//     budget is used up is refused. Requests that are under way then are let through. A budget in dollars with a model of unknown
//     price, or with an upstream that does not say how many tokens it took, is refused: what cannot be counted cannot be kept.
//   - A grant without a key leads to an upstream that wants none, such as a model server on the host's loopback, under the same rules.
//   - An upstream that repeats the key, in a header or a body, is corrected.
//
// # The process
//
// The broker reads a guest's bytes and holds the user's keys, so it is a process of its own, `voidbox broker`, which confines itself
// before it listens: sockets, the resolver's files, and nothing else. It is told of grants by lines of JSON on its standard input, and
// reports by lines of JSON on its standard output. The end of its input is its end, so that it never outlives who started it.
package broker
