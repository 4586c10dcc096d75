//go:build linux

// Command posixcheck asks a directory what package posix has to ask.
//
//	posixcheck -prepare DIR      makes the trees of all cases there
//	posixcheck DIR [PREFIX...]   runs the cases, or those whose names begin so, on such trees
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/voidbox-run/voidbox/test/share/posix"
)

func main() {
	if said, ok := posix.Child(); ok {
		fmt.Println(said)
		return
	}
	prepare := flag.Bool("prepare", false, "make the trees of the cases, and run none")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: posixcheck [-prepare] DIR [PREFIX...]")
		os.Exit(2)
	}
	var err error
	if *prepare {
		err = posix.Prepare(flag.Arg(0))
	} else {
		err = posix.Run(flag.Arg(0), os.Stdout, flag.Args()[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "posixcheck:", err)
		os.Exit(1)
	}
}
