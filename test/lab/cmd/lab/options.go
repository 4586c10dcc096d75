package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab"
)

const usage = `usage: lab run [OPTION...] -- COMMAND [ARGUMENT...]
       lab tools-disk       print where the Debian disk of -tools lies

Boots the KVM lab, an emulated machine in which /dev/kvm and /dev/vhost-vsock work, runs COMMAND in it and exits with its
status. 125 means that the lab itself failed.

  -file HOST[:GUEST]  put a file or a directory into the lab, at /lab/NAME unless told otherwise; may be repeated
  -fetch GUEST:HOST   copy a file out when the command has ended; may be repeated
  -guest              put a guest kernel and initramfs into the lab, at /lab/guest/
  -tools              run from a Debian disk with QEMU, fio, python3, strace and more, in place of busybox
  -cache              put the guest kernel and programs of voidbox's cache into the lab, and name them in VOIDBOX_CACHE_DIR
  -cache-debian       the same with Debian's kernel, whichever a sandbox would get
  -tools-drive        the Debian disk once more, as a further drive: a root disk for guests
  -disk IMAGE         run from this raw image of an ext4 root file system
  -drive IMAGE        a further raw image, as /dev/vda and on; may be repeated
  -mem SIZE           memory, 512M or 8G (2G)
  -smp N              processors (1)
  -kernel NAME        lab, debian, or the path of a kernel (lab where it is built, else debian)
  -module NAME        load a further module of Debian's kernel; may be repeated
  -env NAME=VALUE     may be repeated
  -i                  hand standard input on to the command
  -t                  run the command on a terminal, which is this one; implies -i
  -icount             let time be the number of instructions: figures that a busy host does not disturb; needs one processor
  -retries N          boot once more and run COMMAND again when the lab hangs, at most so often (0)
  -silence DURATION   no sign of life for so long means that the lab hangs (1m)
  -v                  show the lab's console and the time it took to boot

/lab and /lab/bin are searched for commands first, and /lab is the working directory.
`

// options are the command line's.
type options struct {
	setup    lab.Setup
	prepare  []lab.Option
	command  lab.Command
	fetch    [][2]string
	input    bool
	terminal bool
	verbose  bool
	retries  int
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	o.declareRoot(flags)
	flags.Func("fetch", "", func(s string) error {
		guest, host, ok := strings.Cut(s, ":")
		if !ok {
			return errors.New("want GUEST:HOST")
		}
		o.fetch = append(o.fetch, [2]string{guest, host})
		return nil
	})
	flags.Func("mem", "", func(s string) (err error) {
		o.setup.MemoryMiB, err = mebibytes(s)
		return err
	})
	flags.IntVar(&o.setup.CPUs, "smp", 0, "")
	flags.StringVar(&o.setup.Kernel, "kernel", "", "")
	flags.Func("module", "", func(s string) error { o.setup.Modules = append(o.setup.Modules, s); return nil })
	flags.Func("env", "", func(s string) error { o.command.Env = append(o.command.Env, s); return nil })
	flags.BoolVar(&o.input, "i", false, "")
	flags.BoolVar(&o.terminal, "t", false, "")
	flags.IntVar(&o.retries, "retries", 0, "")
	flags.DurationVar(&o.setup.Silence, "silence", 0, "")
	flags.BoolVar(&o.verbose, "v", false, "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() == 0 {
		return o, errors.New("no command; lab run -help says what there is")
	}
	o.command.Args, o.command.Stdout, o.command.Stderr = flags.Args(), os.Stdout, os.Stderr
	o.command.Terminal = o.terminal
	if o.verbose {
		o.setup.Console = os.Stderr
	}
	o.setup.Log = say
	return o, nil
}

// declareRoot declares what the lab runs from, and what is put into it.
func (o *options) declareRoot(flags *flag.FlagSet) {
	flags.Func("file", "", func(s string) error {
		host, guest, _ := strings.Cut(s, ":")
		o.setup.Files = append(o.setup.Files, lab.File{Host: host, Guest: guest})
		return nil
	})
	flags.BoolFunc("guest", "", func(string) error { o.prepare = append(o.prepare, lab.GuestSystem); return nil })
	flags.BoolFunc("tools", "", func(string) error { o.prepare = append(o.prepare, lab.Tools); return nil })
	for name, option := range map[string]lab.Option{"cache": lab.Cache, "cache-debian": lab.CacheDebian} {
		flags.BoolFunc(name, "", func(string) error {
			o.prepare = append(o.prepare, option)
			o.command.Env = append(o.command.Env, image.CacheDirEnv+"="+lab.CacheDir)
			return nil
		})
	}
	flags.BoolFunc("tools-drive", "", func(string) error { o.prepare = append(o.prepare, lab.ToolsDrive); return nil })
	flags.BoolVar(&o.setup.CountInstructions, "icount", false, "")
	flags.StringVar(&o.setup.Disk, "disk", "", "")
	flags.Func("drive", "", func(s string) error {
		o.setup.Drives = append(o.setup.Drives, lab.Drive{Path: s})
		return nil
	})
}

// ready calls the options that take long.
func (o *options) ready(ctx context.Context) (err error) {
	if o.setup.Scratch, err = os.MkdirTemp("", "lab-"); err != nil {
		return err
	}
	for _, prepare := range o.prepare {
		if err := prepare(ctx, &o.setup); err != nil {
			return err
		}
	}
	return nil
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
