//go:build linux && !cgo

package jail

// psxCalls is empty: without cgo, the Go runtime reaches its threads with tgkill.
var psxCalls []string
