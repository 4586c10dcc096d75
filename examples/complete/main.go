// Command complete runs a script that nobody trusts in a machine of its own, and fetches what it made. sandbox.hcl describes the
// same machine in the language.
//
//	cd examples/complete
//	go run .                                               script.sh, in the built-in image, which has no Python
//	go run . -image docker.io/library/python:3.13-slim     script.py, in one that has
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox"
)

// job is what the command line says.
type job struct {
	backend, image, code string
	ready                time.Duration
}

func main() {
	var j job
	flag.StringVar(&j.backend, "backend", "auto", "auto (kvm where it is usable, else qemu), kvm or qemu")
	flag.StringVar(&j.image, "image", "", "an image with Python, instead of the built-in one")
	flag.StringVar(&j.code, "code", "code", "directory of the scripts")
	flag.DurationVar(&j.ready, "ready", 30*time.Second, "how long the boot may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := j.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "complete:", err)
		os.Exit(1)
	}
}

// run has the script run in a sandbox, which is gone when it returns.
func (j job) run(ctx context.Context, out io.Writer) (err error) {
	box, err := j.sandbox().Build(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_, ended := box.Shutdown(context.WithoutCancel(ctx))
		err = errors.Join(err, ended)
	}()
	if err := box.WaitReady(ctx, j.ready); err != nil {
		return err
	}

	script, err := box.Exec(ctx, j.line(), nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "output: %s", script.Stdout)
	if script.ExitCode != 0 {
		fmt.Fprintf(out, "the script failed with %d: %s", script.ExitCode, script.Stderr)
	}

	const results = "/tmp/results.json"
	if found, err := box.Exists(ctx, results); err != nil || !found {
		return err
	}
	content, err := box.ReadFile(ctx, results)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "results: %s\n", bytes.TrimSpace(content))
	return nil
}

// sandbox describes the machine: it sees the code, cannot change it, and has no network.
func (j job) sandbox() voidbox.RunnableSandbox {
	box := voidbox.NewSandbox().Run("sleep", "infinity")
	if j.image != "" {
		box = voidbox.NewSandbox().OCI(j.image, "sleep", "infinity")
	}
	return box.Name("job").Backend(j.backend).CPUs(2).MemoryMB(512).Mount("/mnt/code", j.code, "ro")
}

// line is what runs in it.
func (j job) line() string {
	if j.image != "" {
		return "python3 /mnt/code/script.py"
	}
	return "sh /mnt/code/script.sh"
}
