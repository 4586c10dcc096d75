//go:build !linux

package plugintest

// vmmLinkCases are empty: links are for Linux.
var vmmLinkCases []vmmCase
