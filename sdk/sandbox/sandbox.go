package sandbox

import (
	"context"
	"io"
	"io/fs"
	"net"
	"time"
)

// Capabilities that a sandbox may lack. Everything else must be there.
const (
	CapPtyResize = "pty_resize"
	CapDial      = "dial"
	CapFreeze    = "freeze"
	CapMetrics   = "metrics"
	CapTrees     = "trees"
)

// Capabilities that a sandbox must have, and declares all the same: an agent outside of a sandbox may run where it has none.
const (
	// CapExactLimits says that Limits are enforced.
	CapExactLimits = "limits"
	// CapUsers says that commands can run as different users and that files have owners.
	CapUsers = "users"
)

// TokenSize is the length in bytes of a sandbox's token.
const TokenSize = 32

// DefaultGrace is the time between SIGTERM and SIGKILL on shutdown when none is given.
const DefaultGrace = 5 * time.Second

// Sandbox is one isolated environment. All paths are absolute paths inside it, with slashes.
type Sandbox interface {
	// Exec runs a command and returns when it has ended and its output is written. An error means that it could not be run
	// (errdef.ErrNotFound, errdef.ErrPermission, errdef.ErrInvalid) or that contact was lost; a command that fails is an
	// Exit with a code. Cancelling ctx kills the command's process group.
	Exec(ctx context.Context, cmd Command, stdio IO) (Exit, error)

	// ReadFile opens a regular file for reading. The caller closes it.
	ReadFile(ctx context.Context, path string, r Range) (io.ReadCloser, error)
	// WriteFile replaces a file atomically with what content yields, and returns the number of bytes. When content or the
	// call fails, the old file is untouched.
	WriteFile(ctx context.Context, path string, opt WriteOptions, content io.Reader) (int64, error)
	// Stat describes a path. With follow, a final symbolic link is followed.
	Stat(ctx context.Context, path string, follow bool) (FileInfo, error)
	// ListDir returns the entries of a directory in name order.
	ListDir(ctx context.Context, path string) ([]FileInfo, error)
	// MakeDir makes a directory.
	MakeDir(ctx context.Context, path string, opt MakeDirOptions) error
	// Remove removes a file or an empty directory; with recursive a whole tree, and a missing path is no error then.
	Remove(ctx context.Context, path string, recursive bool) error
	// Rename moves a path, replacing a file at the destination.
	Rename(ctx context.Context, from, to string) error

	// ReadTree writes a file, or a directory with all that is below it, to w as a tar archive; see package tree. Capability
	// CapTrees.
	ReadTree(ctx context.Context, path string, w io.Writer) (TreeStats, error)
	// WriteTree makes a file or a directory of such an archive. Each file becomes visible whole, or not at all; a directory that is
	// there is added to. Capability CapTrees.
	WriteTree(ctx context.Context, path string, opt TreeOptions, archive io.Reader) (TreeStats, error)

	// Info describes the environment.
	Info(ctx context.Context) (Info, error)
	// Metrics reads counters of the moment. Capability CapMetrics.
	Metrics(ctx context.Context) (Metrics, error)

	// Dial connects from inside the sandbox; network is tcp, udp or unix. Capability CapDial.
	Dial(ctx context.Context, network, address string) (net.Conn, error)

	// Freeze stops every process of the sandbox; Thaw lets them go on. Capability CapFreeze.
	Freeze(ctx context.Context) error
	Thaw(ctx context.Context) error

	// WaitMain waits for the end of the main process; errdef.ErrNotFound when there is none.
	WaitMain(ctx context.Context) (Exit, error)
	// MainOutput copies what the main process wrote, from the oldest byte kept (the last MiB). With follow it goes on until
	// the process has ended.
	MainOutput(ctx context.Context, follow bool, stdout, stderr io.Writer) error

	// Shutdown ends the main process, then all others: SIGTERM, grace (zero means DefaultGrace), SIGKILL, sync, power off. It
	// returns the exit of the main process, nil if there was none.
	Shutdown(ctx context.Context, grace time.Duration) (*Exit, error)
}

// Command describes a command to run.
type Command struct {
	Args    []string          // program and arguments; a program without a slash is looked up in PATH
	Env     map[string]string // added to the sandbox's environment, and stronger
	Dir     string            // working directory; empty means the sandbox's
	User    string            // name or uid[:gid]; empty means the sandbox's ordinary user
	Timeout time.Duration     // wall-clock limit; zero means none
	Limits  Limits
	Pty     *Pty // a pseudo-terminal is made when set; output then arrives as stdout
}

// Limits bounds one command. Zero means the sandbox's own limit.
type Limits struct {
	MemoryBytes   uint64
	OpenFiles     uint64
	Processes     uint64
	FileSizeBytes uint64
	CPUTime       time.Duration
}

// Pty asks for a pseudo-terminal.
type Pty struct {
	Size WindowSize
	Term string // TERM; empty means xterm-256color
}

// WindowSize is a terminal's size in characters.
type WindowSize struct{ Rows, Cols uint16 }

// IO is what a running command is connected to. Writers are called from one goroutine each.
type IO struct {
	Stdin   io.Reader      // nil means empty
	Stdout  io.Writer      // nil discards
	Stderr  io.Writer      // nil discards
	Control <-chan Control // signals and sizes while it runs; may be nil
	Started func(pid int)  // called once, before any output; may be nil
}

// Control is a message to a running command: a signal or a new window size.
type Control struct {
	Signal string // name without SIG, such as INT
	Resize *WindowSize
}

// Exit says how a command ended.
type Exit struct {
	Code        int           `json:"code"`             // exit status, or 128 + number of the signal that ended it
	Signal      string        `json:"signal,omitempty"` // name without SIG
	TimedOut    bool          `json:"timed_out,omitempty"`
	OOMKilled   bool          `json:"oom_killed,omitempty"`
	UserTime    time.Duration `json:"user_time_ns,omitempty"`
	SystemTime  time.Duration `json:"system_time_ns,omitempty"`
	MaxRSSBytes uint64        `json:"max_rss_bytes,omitempty"`
}

// Range selects part of a file. Limit 0 means to the end.
type Range struct{ Offset, Limit uint64 }

// WriteOptions says how a file is written.
type WriteOptions struct {
	Mode    fs.FileMode // permission bits; 0 means 0644, or those of the file that is replaced
	User    string      // owner, as Command.User
	Parents bool        // makes missing parent directories
}

// MakeDirOptions says how a directory is made.
type MakeDirOptions struct {
	Mode    fs.FileMode // 0 means 0755
	User    string
	Parents bool // makes missing parents, and takes an existing directory for success
}

// TreeOptions says how an archive is made files of.
type TreeOptions struct {
	User string // owner of all that is made, as Command.User
}

// TreeStats counts what an archive holds.
type TreeStats struct {
	Files   uint64 // files, directories and links
	Bytes   uint64 // of content
	Skipped uint64 // sockets, devices and FIFOs, which are left out
}

// FileInfo describes a path.
type FileInfo struct {
	Name       string      // last element
	Size       uint64      // bytes
	Mode       fs.FileMode // type and permission bits as in package io/fs
	ModTime    time.Time
	UID, GID   uint32
	LinkTarget string
}

// Info describes the environment.
type Info struct {
	Hostname     string
	Kernel       string // release, such as 6.1.0-30-cloud-amd64
	Architecture string // such as x86_64
	CPUs         int
	MemoryBytes  uint64
	Uptime       time.Duration
	AgentVersion string
	User         string // user that commands run as by default
	Home         string
	WorkingDir   string
	Mounts       []Mount
	Main         Main
	Capabilities []string
}

// Has tells whether the sandbox has a capability.
func (i Info) Has(capability string) bool {
	for _, c := range i.Capabilities {
		if c == capability {
			return true
		}
	}
	return false
}

// Mount is one mounted file system.
type Mount struct {
	Source, Target, Type string
	ReadOnly             bool
}

// Main is the state of the main process.
type Main struct {
	Defined bool
	Running bool
	PID     int
	Exit    *Exit // set once it has ended
}

// Metrics holds counters since the start and gauges of the moment.
type Metrics struct {
	CPUTime              time.Duration
	MemoryTotalBytes     uint64
	MemoryAvailableBytes uint64
	Processes            int
	Load1m               float64
	DiskTotalBytes       uint64
	DiskFreeBytes        uint64
	NetReceivedBytes     uint64
	NetSentBytes         uint64
}

// Provider makes sandboxes without a VM. A sandbox plugin implements it.
type Provider interface {
	// Create makes a sandbox. The provider owns it until Destroy.
	Create(ctx context.Context, spec Spec) (id string, s Sandbox, err error)
	// Destroy ends a sandbox and all that it holds. Destroying twice is not an error.
	Destroy(ctx context.Context, id string) error
}

// Spec describes a sandbox to make.
type Spec struct {
	Name        string
	Hostname    string
	CPUs        int
	MemoryBytes uint64
	Env         map[string]string
	Main        []string // main process; empty means none
	Files       []SeedFile
}

// SeedFile is a file that a sandbox starts with.
type SeedFile struct {
	Path    string
	Content []byte
	Mode    fs.FileMode
}
