// Package capability gives up the capabilities of a process (capabilities(7)), for plugins that confine themselves.
package capability
