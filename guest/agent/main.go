package main

import (
	"fmt"
	"os"

	"github.com/voidbox-run/voidbox/guest/agent/internal/startup"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println(version)
		return
	}
	var err error
	if os.Getpid() == 1 {
		err = startup.Machine(version)
	} else {
		err = startup.Process(version, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "voidbox-guest-agent:", err)
		os.Exit(1)
	}
}
