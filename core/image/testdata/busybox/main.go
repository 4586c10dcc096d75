// Command busybox lists applets, as the real one does, for the tests of the base image.
package main

import "fmt"

func main() {
	for _, name := range []string{"bin/sh", "bin/busybox", "usr/bin/env", "sbin/init", "linuxrc", "../../etc/shadow", "bin/bash"} {
		fmt.Println(name)
	}
}
