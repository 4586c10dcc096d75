//go:build linux

// Command escape is package escape as a program for guests.
package main

import (
	"fmt"
	"os"

	"github.com/voidbox-run/voidbox/test/network/internal/escape"
)

func main() {
	if err := escape.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "escape:", err)
		os.Exit(1)
	}
}
