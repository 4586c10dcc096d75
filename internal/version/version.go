// Package version knows which voidbox this is. The build sets it; a plain `go build` has to make do with the module's.
package version

import "runtime/debug"

var version = ""

// String returns the version, "dev" when nobody set one.
func String() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
