//go:build linux && cgo

package jail

// psxCalls are what psx needs to reach other threads while the filter is being installed. tkill can reach other processes of
// this user too, which is why released plugins are built without cgo.
var psxCalls = []string{"tkill"}
