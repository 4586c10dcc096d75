package boot

import (
	"time"
)

// What host and guest agree upon without saying so.
const (
	// Path is where the agent finds the configuration.
	Path = "/run/voidbox/boot.json"
	// Version is the version of the configuration's schema.
	Version = 1
	// AgentPort is the vsock port that the agent serves the sandbox contract on.
	AgentPort = 1234
	// HostCID is the host's address on vsock. The agent talks to no other.
	HostCID = 2
	// SSHAgentSocket is where programs in the guest find the SSH agent, if there is one.
	SSHAgentSocket = "/run/ssh-agent.sock"
	// MaxSize bounds an encoded configuration, in bytes.
	MaxSize = 1 << 20
)

// Config is the boot configuration of one VM. The zero value of every field but Version and Token means "nothing of that
// sort" or the default that its comment names. Durations are nanoseconds in JSON.
type Config struct {
	Version int `json:"version"`
	// Token authorises every call to the agent: sandbox.TokenSize random bytes, never used for another VM.
	Token []byte `json:"token"`
	// Hostname of the guest; empty means "voidbox".
	Hostname string `json:"hostname,omitempty"`

	Root    Root    `json:"root,omitzero"`
	Mounts  []Mount `json:"mounts,omitempty"`
	Shares  Shares  `json:"shares,omitzero"`
	Network Network `json:"network,omitzero"`
	SSH     SSH     `json:"ssh,omitzero"`

	// ClockUnixNano is the host's time when the configuration was made, in nanoseconds since 1970. The agent adds what the
	// boot has taken. Zero leaves the clock alone.
	ClockUnixNano int64 `json:"clock_unix_ns,omitempty"`
	// Seed is random bytes for the guest's random number generator, credited as full entropy; at most 1024.
	Seed []byte `json:"seed,omitempty"`

	// Env is the environment of every command and of the main process. PATH has a default.
	Env map[string]string `json:"env,omitempty"`
	// Dir is the working directory of commands that name none; empty means the user's home where it exists, else "/".
	Dir string `json:"dir,omitempty"`
	// User is what commands run as unless they ask otherwise; the zero value means DefaultUser.
	User User `json:"user,omitzero"`
	// Limits hold for each command that asks for none of its own.
	Limits Limits `json:"limits,omitzero"`
	// MaxProcesses bounds all commands together; zero means three quarters of what the kernel allows.
	MaxProcesses uint64 `json:"max_processes,omitempty"`
	// Commands is the allow-list; empty means that every program may be started. See CommandRule.
	Commands []CommandRule `json:"commands,omitempty"`

	// Main is the main process; nil means none.
	Main *Main `json:"main,omitempty"`

	// AnnouncePort is the host's vsock port that the agent announces itself to; zero means that it does not.
	AnnouncePort uint32 `json:"announce_port,omitempty"`
	// Grace is the time between SIGTERM and SIGKILL on a shutdown that names none; zero means sandbox.DefaultGrace.
	Grace time.Duration `json:"grace_ns,omitempty"`
}

// RootKind says where the root file system comes from.
type RootKind string

// Kinds of root.
const (
	// RootInitramfs stays in the initramfs: the built-in base system.
	RootInitramfs RootKind = "initramfs"
	// RootDisk switches to a block device.
	RootDisk RootKind = "disk"
)

// RootMode says how a disk is used.
type RootMode string

// Modes of a disk root.
const (
	// RootOverlay mounts the disk read-only below a tmpfs that takes the writes.
	RootOverlay RootMode = "overlay"
	// RootReadOnly refuses writes.
	RootReadOnly RootMode = "ro"
	// RootReadWrite writes to the disk.
	RootReadWrite RootMode = "rw"
)

// Root describes the root file system.
type Root struct {
	Kind RootKind `json:"kind,omitempty"` // empty means RootInitramfs
	// Serial finds the disk by vmm.Disk.ID; Path names the device instead. A disk root has exactly one of them.
	Serial string   `json:"serial,omitempty"`
	Path   string   `json:"path,omitempty"`
	FSType string   `json:"fstype,omitempty"` // such as erofs or ext4
	Mode   RootMode `json:"mode,omitempty"`   // empty means RootOverlay
	// OverlaySize bounds the tmpfs of an overlay in bytes; zero means half of the memory.
	OverlaySize uint64 `json:"overlay_size,omitempty"`
	// OverlaySerial finds a disk with an empty ext4 file system, which takes the writes of an overlay in place of the tmpfs.
	OverlaySerial string `json:"overlay_serial,omitempty"`
}

// Mount is a file system to mount once the root stands; missing directories are made.
type Mount struct {
	Source   string `json:"source"` // tag of a share, or a device
	Target   string `json:"target"` // absolute
	FSType   string `json:"fstype"` // virtiofs, tmpfs, ext4 ...
	ReadOnly bool   `json:"read_only,omitempty"`
	Options  string `json:"options,omitempty"` // of the file system, comma separated
}

// Shares are directories and files of the host. They come by one file system device, whose root has one entry for each.
type Shares struct {
	Tag    string  `json:"tag,omitempty"` // of the device
	Mounts []Share `json:"mounts,omitempty"`
}

// Share is one of them. Where it goes, missing directories are made, and a file for a file.
type Share struct {
	Name     string `json:"name"`   // of the entry
	Target   string `json:"target"` // absolute
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Network describes what is configured by the agent. Without interfaces there is the loopback only.
type Network struct {
	Interfaces []Interface `json:"interfaces,omitempty"`
	DNS        []string    `json:"dns,omitempty"`    // addresses of resolvers
	Search     []string    `json:"search,omitempty"` // domains
}

// Interface is one network device, found by its hardware address.
type Interface struct {
	MAC       string   `json:"mac"`                // 02:00:00:00:00:01
	Addresses []string `json:"addresses"`          // prefixes: 10.0.2.15/24, fd00::15/64
	Gateways  []string `json:"gateways,omitempty"` // at most one of each family
	MTU       int      `json:"mtu,omitempty"`      // zero leaves it alone
}

// SSH is what programs that speak SSH find in the guest.
type SSH struct {
	// AgentPort is a vsock port of the host behind which an SSH agent serves; zero means that there is none. The guest agent
	// carries connections of SSHAgentSocket there, each begun with AgentToken.
	AgentPort  uint32 `json:"agent_port,omitempty"`
	AgentToken []byte `json:"agent_token,omitempty"`
	// KnownHosts are lines of a known_hosts file, for the whole machine.
	KnownHosts []string `json:"known_hosts,omitempty"`
}

// User is an account.
type User struct {
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Name string `json:"name"`
	Home string `json:"home"`
}

// DefaultUser is the ordinary user of a sandbox.
var DefaultUser = User{UID: 1000, GID: 1000, Name: "sandbox", Home: "/home/sandbox"}

// Limits bounds one command, as sandbox.Limits. Zero means none.
type Limits struct {
	MemoryBytes   uint64        `json:"memory_bytes,omitempty"`
	OpenFiles     uint64        `json:"open_files,omitempty"`
	Processes     uint64        `json:"processes,omitempty"`
	FileSizeBytes uint64        `json:"file_size_bytes,omitempty"`
	CPUTime       time.Duration `json:"cpu_time_ns,omitempty"`
}

// CommandRule allows programs to be started through the agent. It is not a jail: what an allowed program starts in turn is
// not asked about.
//
//   - "git", a name: the program of that name in the directories of Config.Env's PATH, whatever PATH the call brings.
//   - "/usr/bin/git": that file.
//   - "/opt/tools/", with a slash at the end: every file directly in that directory.
type CommandRule string

// Restart says when a main process that has ended is started again.
type Restart string

// When it is started again. A sandbox that shuts down restarts nothing.
const (
	RestartNever     Restart = "never"
	RestartOnFailure Restart = "on-failure" // it failed: another exit status than 0, or a signal
	RestartAlways    Restart = "always"
)

// Main is the process that the sandbox exists for.
type Main struct {
	Args []string          `json:"args"`
	Env  map[string]string `json:"env,omitempty"` // stronger than Config.Env
	Dir  string            `json:"dir,omitempty"`
	User string            `json:"user,omitempty"` // name or uid[:gid]; empty means Config.User
	// Restart is never when empty. RestartDelay is the pause before the first time, a second when zero; it doubles each time, up
	// to half a minute, and begins anew once the process has run for that long.
	Restart      Restart       `json:"restart,omitempty"`
	RestartDelay time.Duration `json:"restart_delay_ns,omitempty"`
}
