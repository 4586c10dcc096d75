// Command lab runs a program in the KVM lab: an emulated machine in which /dev/kvm and /dev/vhost-vsock work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/test/lab"
)

const usage = `usage: lab run [OPTION...] -- COMMAND [ARGUMENT...]

Boots the KVM lab, runs COMMAND in it and exits with its status.

  -file HOST[:GUEST]  put a file or a directory into the lab, at /lab/NAME unless told otherwise; may be repeated
  -fetch GUEST:HOST   copy a file out when the command has ended; may be repeated
  -mem SIZE           memory, 512M or 8G (2G)
  -smp N              processors (1)
  -kernel NAME        lab, debian, or the path of a kernel (lab where it is built, else debian)
  -disk IMAGE         raw image with an ext4 root file system in place of busybox
  -drive IMAGE        a further raw image, as /dev/vda and on; may be repeated
  -env NAME=VALUE     may be repeated
  -module NAME        load a further module of Debian's kernel; may be repeated
  -silence DURATION   no sign of life for so long means that the lab hangs (1m)
  -v                  show the lab's console and the time it took to boot
`

func main() {
	lab.Init()
	if len(os.Args) < 2 || os.Args[1] != "run" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	code, err := run(os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		code = 125
	}
	os.Exit(code)
}

// options are the command line's.
type options struct {
	cfg     lab.Config
	command lab.Command
	fetch   [][2]string
	verbose bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	flags.Func("file", "", func(s string) error {
		host, guest, _ := strings.Cut(s, ":")
		o.cfg.Files = append(o.cfg.Files, lab.File{Host: host, Guest: guest})
		return nil
	})
	flags.Func("fetch", "", func(s string) error {
		guest, host, ok := strings.Cut(s, ":")
		if !ok {
			return errors.New("want GUEST:HOST")
		}
		o.fetch = append(o.fetch, [2]string{guest, host})
		return nil
	})
	flags.Func("mem", "", func(s string) (err error) {
		o.cfg.MemoryMiB, err = mebibytes(s)
		return err
	})
	flags.IntVar(&o.cfg.CPUs, "smp", 1, "")
	flags.StringVar(&o.cfg.Kernel, "kernel", "", "")
	flags.StringVar(&o.cfg.Disk, "disk", "", "")
	flags.Func("drive", "", func(s string) error {
		o.cfg.Drives = append(o.cfg.Drives, lab.Drive{Path: s})
		return nil
	})
	flags.Func("env", "", func(s string) error { o.command.Env = append(o.command.Env, s); return nil })
	flags.Func("module", "", func(s string) error { o.cfg.Modules = append(o.cfg.Modules, s); return nil })
	flags.DurationVar(&o.cfg.Silence, "silence", 0, "")
	flags.BoolVar(&o.verbose, "v", false, "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() == 0 {
		return o, errors.New("no command")
	}
	o.command.Args, o.command.Stdout, o.command.Stderr = flags.Args(), os.Stdout, os.Stderr
	if o.verbose {
		o.cfg.Console = os.Stderr
	}
	o.cfg.Log = func(s string) { fmt.Fprintln(os.Stderr, "lab:", s) }
	return o, nil
}

// mebibytes reads 512M, 8G or a number of mebibytes.
func mebibytes(s string) (int, error) {
	number, factor := s, 1
	if digits, ok := strings.CutSuffix(s, "G"); ok {
		number, factor = digits, 1024
	} else if digits, ok := strings.CutSuffix(s, "M"); ok {
		number = digits
	}
	n, err := strconv.Atoi(number)
	return n * factor, err
}

func run(args []string) (int, error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	start := time.Now()
	l, err := lab.Boot(ctx, o.cfg)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	if o.verbose {
		o.cfg.Log(fmt.Sprintf("kernel %s is ready after %.2f s, of which %.2f s its own", l.Kernel(), time.Since(start).Seconds(), l.Uptime().Seconds()))
	}
	status, err := l.Run(ctx, o.command)
	if err != nil {
		return 0, err
	}
	for _, f := range o.fetch {
		if err := fetch(ctx, l, f[0], f[1]); err != nil {
			return 0, err
		}
	}
	return status.Code, nil
}

func fetch(ctx context.Context, l *lab.Lab, from, to string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(l.Fetch(ctx, from, out), out.Close())
}
