// Package view shows a run to a person or a program. It reads nothing but the event stream.
//
// There are three sinks: JSON writes one event a line for programs; Plain writes lines for logs and pipes; Live keeps a
// footer with what is going on at the bottom of a terminal and lets finished lines scroll by above it. Plain and Live share
// their sentences (lines.go), so a log reads like the terminal did.
//
// Everything a guest or a model wrote is cleaned of control characters before it reaches a terminal: escape sequences could
// otherwise retitle the window, move the cursor or forge our own lines.
package view
