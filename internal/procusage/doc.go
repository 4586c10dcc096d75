// Package procusage reads what a process consumes, by the names that monitors use in their metrics. The files in /proc are opened
// once, so that a process that may open nothing any more can go on reading.
package procusage
