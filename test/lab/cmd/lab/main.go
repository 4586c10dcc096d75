// Command lab runs a program in the KVM lab.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/test/lab"
)

// labFailed is the exit status where there is none of a command's.
const labFailed = 125

func main() {
	lab.Init()
	if len(os.Args) == 2 && os.Args[1] == "tools-disk" {
		printToolsDisk()
		return
	}
	if len(os.Args) < 2 || os.Args[1] != "run" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	o, err := parse(os.Args[2:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	code := labFailed
	if err == nil {
		code, err = run(o)
	}
	if err != nil {
		say(err.Error())
	}
	os.Exit(code)
}

// printToolsDisk says where the Debian disk is, for guests on hardware.
func printToolsDisk() {
	disk, err := lab.ToolsDisk(context.Background(), say)
	if err != nil {
		say(err.Error())
		os.Exit(labFailed)
	}
	fmt.Println(disk)
}

func say(s string) { fmt.Fprintln(os.Stderr, "lab:", s) }

func run(o options) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	defer func() { _ = os.RemoveAll(o.setup.Scratch) }()
	if err := o.ready(ctx); err != nil {
		return labFailed, err
	}
	return again(o.retries, func() (int, error) { return boot(ctx, o) })
}

// again runs in labs of their own until one of them does not hang, at most retries times more than once.
func again(retries int, boot func() (int, error)) (code int, err error) {
	for ; ; retries-- {
		code, err = boot()
		var hang *lab.HangError
		if retries <= 0 || !errors.As(err, &hang) {
			return code, err
		}
		say(fmt.Sprintf("%v\nThe lab hangs, as the emulator's lost interrupts make it now and then: once more from the start.", err))
	}
}

// boot runs the command in a lab of its own.
func boot(ctx context.Context, o options) (code int, err error) {
	start := time.Now()
	l, err := lab.Boot(ctx, o.setup.Config)
	if err != nil {
		return labFailed, err
	}
	defer l.Close()
	if o.verbose {
		say(fmt.Sprintf("kernel %s was ready after %.2f s, of which %.2f s its own", l.Kernel(), time.Since(start).Seconds(), l.Uptime().Seconds()))
	}
	status, err := command(ctx, l, o)
	var notStarted *lab.StartError
	if errors.As(err, &notStarted) {
		return 127, err
	}
	if err != nil {
		return labFailed, err
	}
	for _, f := range o.fetch {
		if err := fetch(ctx, l, f[0], f[1]); err != nil {
			return labFailed, err
		}
	}
	return status.Code, nil
}

func command(ctx context.Context, l *lab.Lab, o options) (lab.Status, error) {
	switch {
	case o.terminal:
		return onTerminal(ctx, l, o.command)
	case o.input:
		return withInput(ctx, l, o.command)
	}
	return l.Run(ctx, o.command)
}

func fetch(ctx context.Context, l *lab.Lab, from, to string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(l.Fetch(ctx, from, out), out.Close())
}
