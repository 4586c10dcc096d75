package jail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

// A jail is for good, and what it forbids is death, so each probe runs in a process of its own: this test program, started again.
const probeEnv, threadEnv, dirEnv = "VOIDBOX_JAIL_PROBE", "VOIDBOX_JAIL_THREAD", "VOIDBOX_JAIL_DIR"

func TestMain(m *testing.M) {
	name := os.Getenv(probeEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := attempt(name, os.Getenv(threadEnv), os.Getenv(dirEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(survived)
}

// survived is what a probe says that could do what it tried and was not killed.
const survived = "survived"

// requests are what the probes may ask of descriptors.
var requests = []uint32{unix.TIOCINQ}

// Kinds of thread.
const (
	ordinary = "ordinary thread"
	vcpu     = "vCPU thread"
)

// attempt confines the process and then tries the probe on a thread of a kind.
func attempt(name, kind, dir string) error {
	p, ok := probes[name]
	if !ok {
		return errors.New("there is no such probe")
	}
	var prepared any
	if p.prepare != nil {
		var err error
		if prepared, err = p.prepare(dir); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	time.Sleep(time.Nanosecond) // the runtime makes its poller when it first needs one, which a monitor's gRPC server has done
	if err := Process(Grants{Dirs: []string{dir}, Requests: requests}); err != nil {
		return err
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		if kind == vcpu {
			if err := VCPU(requests); err != nil {
				result <- err
				return
			}
		}
		result <- p.try(dir, prepared)
	}()
	return <-result
}

// probe is something that a process may try. An error of try means that it was refused without death.
type probe struct {
	prepare func(dir string) (any, error)
	try     func(dir string, prepared any) error
}

func try(f func() error) probe {
	return probe{try: func(string, any) error { return f() }}
}

func second[T any](_ T, err error) error { return err }

var probes = map[string]probe{
	// what nobody may
	"execute a program": try(func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) }),
	"start a process":   try(func() error { return second(syscall.ForkExec("/bin/true", []string{"true"}, nil)) }),
	"trace":             try(func() error { return unix.PtraceAttach(os.Getppid()) }),
	"read another process": try(func() error {
		return second(unix.ProcessVMReadv(os.Getppid(), nil, nil, 0))
	}),
	"signal another process": try(func() error { return unix.Kill(os.Getppid(), 0) }),
	"make an inet socket":    try(func() error { return second(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }),
	"make a netlink socket":  try(func() error { return second(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) }),
	"make a vsock socket":    try(func() error { return second(unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)) }),
	"map executable memory": try(func() error {
		return second(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE))
	}),
	"make memory executable": {
		prepare: func(string) (any, error) {
			return unix.Mmap(-1, 0, 4096, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
		},
		try: func(_ string, mem any) error { return unix.Mprotect(mem.([]byte), unix.PROT_READ|unix.PROT_EXEC) },
	},
	"another ioctl":      try(func() error { return unix.IoctlSetInt(0, unix.TIOCSTI, 0) }),
	"load a bpf program": try(func() error { return second(rawCall(unix.SYS_BPF)) }),
	"unshare":            try(func() error { return unix.Unshare(unix.CLONE_NEWUSER) }),
	"mount":              try(func() error { return unix.Mount("none", "/", "tmpfs", 0, "") }),
	"use i386 numbers":   try(func() error { return second(rawCall(0x40000000 | unix.SYS_OPENAT)) }),

	// what ordinary threads are refused with an error, and vCPU threads with death
	"open a file":         try(func() error { return second(os.ReadFile("/etc/passwd")) }),
	"write a file":        {try: func(dir string, _ any) error { return second(os.Create(dir + "/x")) }},
	"open its own memory": try(func() error { return second(os.Open("/proc/self/mem")) }),

	// what ordinary threads may
	"use a unix socket": {
		prepare: func(dir string) (any, error) { return net.Listen("unix", dir+"/sock") },
		try:     func(dir string, l any) error { return useAndRemove(l.(net.Listener), dir+"/sock") },
	},
	"remove what is left in the directory": {
		prepare: func(dir string) (any, error) { return nil, os.WriteFile(dir+"/left", nil, 0o600) },
		try:     func(dir string, _ any) error { return os.RemoveAll(dir + "/left") },
	},
	"start threads": try(func() error { return onNewThreads(func() error { return nil }) }),
	"open on a new thread": try(func() error {
		return onNewThreads(func() error { return second(os.ReadFile("/etc/passwd")) })
	}),
	"read and write a disk": {
		prepare: func(dir string) (any, error) { return os.Create(dir + "/disk") },
		try:     func(_ string, f any) error { return useDisk(f.(*os.File)) },
	},

	"dial a link": {try: func(dir string, _ any) error { return dialLink(dir + "/link") }},

	// what everybody may
	"work and grow": try(workAndGrow),
	"an ioctl that was asked for": {
		prepare: func(string) (any, error) { return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0) },
		try:     func(_ string, fd any) error { return second(unix.IoctlGetInt(fd.(int), unix.TIOCINQ)) },
	},
	"crash": try(func() error { panic("a bug of ours") }),
}

// verdict is how a probe has to end.
type verdict int

const (
	killed verdict = iota
	refused
	fine
	crashed // with the panic's text
)

func TestJail(t *testing.T) {
	for name, want := range map[string]map[string]verdict{
		"execute a program":      {ordinary: killed, vcpu: killed},
		"start a process":        {ordinary: killed, vcpu: killed},
		"trace":                  {ordinary: killed, vcpu: killed},
		"read another process":   {ordinary: killed, vcpu: killed},
		"signal another process": {ordinary: killed, vcpu: killed},
		"make an inet socket":    {ordinary: killed, vcpu: killed},
		"make a netlink socket":  {ordinary: killed, vcpu: killed},
		"make a vsock socket":    {ordinary: killed, vcpu: killed},
		"map executable memory":  {ordinary: killed, vcpu: killed},
		"make memory executable": {ordinary: killed, vcpu: killed},
		"another ioctl":          {ordinary: killed, vcpu: killed},
		"load a bpf program":     {ordinary: killed, vcpu: killed},
		"unshare":                {ordinary: killed, vcpu: killed},
		"mount":                  {ordinary: killed, vcpu: killed},
		"use i386 numbers":       {ordinary: killed, vcpu: killed},

		"open a file":          {ordinary: refused, vcpu: killed},
		"write a file":         {ordinary: refused, vcpu: killed},
		"open its own memory":  {ordinary: refused, vcpu: killed},
		"open on a new thread": {ordinary: refused, vcpu: refused}, // the runtime starts it from another thread

		"use a unix socket":                    {ordinary: fine, vcpu: killed},
		"remove what is left in the directory": {ordinary: fine, vcpu: killed},
		"read and write a disk":                {ordinary: fine, vcpu: killed},
		"dial a link":                          {ordinary: fine, vcpu: killed},
		"start threads":                        {ordinary: fine, vcpu: fine},
		"work and grow":                        {ordinary: fine, vcpu: fine},
		"an ioctl that was asked for":          {ordinary: fine, vcpu: fine},
		"crash":                                {ordinary: crashed, vcpu: crashed},
	} {
		for kind, want := range want {
			t.Run(name+"/"+kind, func(t *testing.T) { hold(t, name, kind, want) })
		}
	}
}

// hold runs a probe and compares how it ended.
func hold(t *testing.T, name, kind string, want verdict) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "jail") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a safety net: a hang is a failure
	defer cancel()
	offerLink(t, ctx, dir+"/link")
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = []string{probeEnv + "=" + name, threadEnv + "=" + kind, dirEnv + "=" + dir}
	out, err := cmd.CombinedOutput()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case want == killed && status.Signaled() && status.Signal() == unix.SIGSYS:
	case want == refused && status.ExitStatus() == 1 && strings.Contains(string(out), fs.ErrPermission.Error()):
	case want == fine && err == nil && strings.Contains(string(out), survived):
	case want == crashed && status.ExitStatus() == 2 && strings.Contains(string(out), "a bug of ours"):
	default:
		t.Errorf("it ended with %v: %s", err, out)
	}
}

// offerLink is the other end of the probe that dials.
func offerLink(t *testing.T, ctx context.Context, path string) {
	l, err := link.Listen(path, link.Terms{Purpose: link.Frames})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var offering sync.WaitGroup
	offering.Go(func() {
		if offered, err := l.Accept(ctx); err == nil {
			<-offered.Done()
			offered.Close()
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); offering.Wait() })
}

// dialLink fetches a link's memory and events, and uses them.
func dialLink(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := link.Dial(ctx, path, link.Ask{Purpose: link.Frames, Lanes: 1})
	if err != nil {
		return err
	}
	defer l.Close()
	out := l.Lane(0).Out
	if _, err := out.TryReserve(link.KindFrame, 64); err != nil {
		return err
	}
	out.CommitFrame(link.NetHeader{}, 64)
	return out.Publish()
}

func rawCall(nr uintptr) (uintptr, error) {
	r, _, errno := unix.RawSyscall(nr, 0, 0, 0)
	if errno != 0 {
		return r, errno
	}
	return r, nil
}

// onNewThreads runs f on several threads at once, most of which did not exist when the jail was closed.
func onNewThreads(f func() error) error {
	const n = 8
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait() // all at once, hence n threads
			errs[i] = f()
		})
	}
	done.Wait()
	return errors.Join(errs...)
}

func useAndRemove(l net.Listener, path string) error {
	echoed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("x"))
			_ = conn.Close()
		}
		echoed <- err
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := errors.Join(<-echoed, conn.Close(), l.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the socket was not removed: %v", err)
	}
	return nil
}

func useDisk(f *os.File) error {
	if _, err := f.WriteAt([]byte("data"), 4096); err != nil {
		return err
	}
	if _, err := f.ReadAt(make([]byte, 4), 4096); err != nil {
		return err
	}
	fd := int(f.Fd())
	return errors.Join(unix.Fdatasync(fd), unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 4096, 4096))
}

// workAndGrow makes the runtime allocate, collect, preempt and give memory back.
func workAndGrow() error {
	var kept [][]byte
	for i := range 256 {
		kept = append(kept, make([]byte, 256<<10))
		clear(kept[i])
		if i%64 == 63 {
			runtime.GC()
		}
	}
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
		}
	}()
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
	}
	<-busy
	kept = nil
	runtime.GC()
	debug.FreeOSMemory()
	runtime.KeepAlive(kept)
	time.Sleep(time.Millisecond)
	return nil
}
