// Package output keeps the last part of what a process wrote, for readers that come later.
package output
