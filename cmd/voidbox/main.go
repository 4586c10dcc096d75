// Command voidbox runs AI agents in disposable micro-VMs. Each command has a file of its own here; what a command does lives in
// core, and how it looks in internal/view.
package main

import (
	"context"
	"os"

	"github.com/voidbox-run/voidbox/internal/lategc"
)

func main() {
	lategc.Delay(lategc.Until)
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
