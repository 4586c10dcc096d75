package lab

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
)

// Config says what lab is wanted. The zero value is one: a processor, 2 GiB, busybox.
type Config struct {
	// Kernel is "lab" for the kernel that `make lab-kernel` builds, "debian" for Debian's cloud kernel, or the path of a
	// kernel file. "" is the lab kernel where it is built, else Debian's.
	Kernel string
	// MemoryMiB is the machine's memory, 2048 where it is 0. The files of a lab without a disk are in it, too.
	MemoryMiB int
	// CPUs is the number of processors, 1 where it is 0. Emulated processors do run at the same time.
	CPUs int
	// CountInstructions makes the lab's clock count instructions, a nanosecond each, instead of time: the same work then takes the
	// same time on a busy host and on an idle one. It needs a single processor.
	CountInstructions bool
	// Files are put into the lab.
	Files []File
	// Disk is a raw image with an ext4 root file system, such as [ToolsDisk] makes. What the lab writes to it is thrown away.
	// "" is a root file system in memory, with busybox.
	Disk string
	// Drives are further raw images, in the lab as /dev/vda and on, or /dev/vdb and on behind a Disk.
	Drives []Drive
	// Modules are loaded beside those that the lab needs, where the kernel does not have them built in.
	Modules []string
	// Console gets what the lab's kernel says, as it says it.
	Console io.Writer
	// Silence is how long the lab may give no sign of life before it counts as hung, a minute where it is 0. A lab gives one
	// every second, unless its kernel is stuck.
	Silence time.Duration
	// Log is told what takes long.
	Log func(string)
}

// File is a file, or a directory with what is in it, for the lab.
type File struct {
	Host  string // path on the host
	Guest string // absolute path in the lab; "" is /lab/ and the host's name for it
}

// Drive is a raw disk image.
type Drive struct {
	Path     string
	Writable bool // else what is written to it is thrown away
}

const (
	defaultMemoryMiB = 2048
	defaultSilence   = time.Minute
)

// Variables of the environment that stand in for what a Config leaves open, so that the same tests can be run in another lab.
const (
	KernelEnv = "VOIDBOX_LAB_KERNEL"
	CPUsEnv   = "VOIDBOX_LAB_CPUS"
)

func (c *Config) setDefaults() error {
	if c.Kernel == "" {
		c.Kernel = os.Getenv(KernelEnv)
	}
	if c.CPUs == 0 {
		var err error
		if c.CPUs, err = strconv.Atoi(cmp.Or(os.Getenv(CPUsEnv), "1")); err != nil || c.CPUs < 1 {
			return fmt.Errorf("%s=%q is no number of processors", CPUsEnv, os.Getenv(CPUsEnv))
		}
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = defaultMemoryMiB
	}
	if c.Silence == 0 {
		c.Silence = defaultSilence
	}
	if c.Console == nil {
		c.Console = io.Discard
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	for i := range c.Files {
		f := &c.Files[i]
		if f.Guest == "" {
			f.Guest = path.Join(guest.FilesDir, path.Base(f.Host))
		}
		if !path.IsAbs(f.Guest) || path.Clean(f.Guest) != f.Guest {
			return fmt.Errorf("file %s: its place in the lab, %q, is not an absolute path", f.Host, f.Guest)
		}
	}
	return nil
}

// Inside says whether this process runs in a lab.
func Inside() bool { return guest.Inside() }

// Init makes this process the lab's PID 1, and does not return, if that is where it was started. A program that boots labs
// calls it first thing in main, for the lab's /init is that program's own file.
func Init() {
	if guest.IsInit() {
		guest.Main()
	}
}

// self returns the path of the running program, even if its file has been removed since.
func self() string { return fmt.Sprintf("/proc/%d/exe", os.Getpid()) }

// ctxErr says why ctx has ended, in place of what that made fail.
func ctxErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
