package sandbox

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Defaults of a Spec.
const (
	DefaultCPUs         = 1
	DefaultMemory       = 512 << 20
	DefaultReadyTimeout = 30 * time.Second
	// BaseImage is the name of the built-in system.
	BaseImage = "base"
)

// bootLimitFactor bounds a boot as a whole, in ready timeouts.
const bootLimitFactor = 10

// Spec says what a VM sandbox is like. The zero value is a good one.
type Spec struct {
	Name        string // for logs; empty means "sandbox"
	Hostname    string // empty means the name
	Image       string // as source.Parse reads it; "" means BaseImage
	DiskBytes   uint64 // of a disk that takes what is written to the root; 0 means that memory does
	Kernel      string // path; empty means resolved by the image cache
	Initrd      string // path of an initramfs that brings the agent as /init; empty means built
	CommandLine string // added to the kernel's
	CPUs        int    // 0 means DefaultCPUs
	MemoryBytes uint64 // 0 means DefaultMemory
	Accelerator string // auto, kvm, hvf or tcg; empty leaves it to the monitor's configuration

	Env        map[string]string
	Main       []string // main process; empty means the image's own, which the base image and raw disks have not
	Args       []string // arguments for the image's own main process, in place of the image's; nil leaves those
	Restart    boot.Restart
	User       string // name, uid, name:group or uid:gid; empty means the image's, else sandbox
	WorkingDir string
	Limits     sandbox.Limits // of each command that asks for none
	Commands   []string       // allow-list of programs, as boot.CommandRule; empty means all
	Network    boot.Network   // what the agent configures; the zero value is the loopback only
	SSH        boot.SSH       // keys on the host, and who is known
	Shares     boot.Shares    // what the agent mounts of the file system device

	// ReadyTimeout is how long a boot may show no sign of progress; 0 means DefaultReadyTimeout. BootLimit bounds it as a
	// whole; 0 means ten ready timeouts.
	ReadyTimeout time.Duration
	BootLimit    time.Duration
}

func (s Spec) withDefaults() Spec {
	if s.Name == "" {
		s.Name = "sandbox"
	}
	if s.CPUs == 0 {
		s.CPUs = DefaultCPUs
	}
	if s.MemoryBytes == 0 {
		s.MemoryBytes = DefaultMemory
	}
	if s.ReadyTimeout == 0 {
		s.ReadyTimeout = DefaultReadyTimeout
	}
	if s.BootLimit == 0 {
		s.BootLimit = bootLimitFactor * s.ReadyTimeout
	}
	if s.Hostname == "" {
		s.Hostname = machineName(s.Name)
	}
	return s
}

func (s Spec) base() bool { return s.Image == "" || s.Image == BaseImage }

var notInNames = regexp.MustCompile(`[^a-z0-9-]+`)

// machineName makes a name that monitors and host names admit: [a-z0-9-], at most 63 bytes, no hyphen at an end.
func machineName(name string) string {
	name = notInNames.ReplaceAllString(strings.ToLower(name), "-")
	name = strings.Trim(name[:min(len(name), 63)], "-")
	if name == "" {
		return "sandbox"
	}
	return name
}

// Vsock ports of the host, which the guest dials.
const (
	announcePort = 1025 // the agent announces itself
	// SSHAgentPort is for whoever holds SSH keys for the guest.
	SSHAgentPort = 1026
)

// HostPort is the socket at which a vsock port of the host is served, for a VM whose sockets are in dir. What is there before the VM
// is made goes with it.
func HostPort(dir string, port uint32) string {
	return fmt.Sprintf("%s_%d", filepath.Join(dir, socketName), port)
}

// socketName is the host's socket of the guest's vsock ports.
const socketName = "vsock"

// How the guest finds its root disk, and the one that takes the writes.
const (
	rootSerial    = "root"
	scratchSerial = "scratch"
)

// bootConfig makes the boot configuration, with a token and a seed of its own.
func (s Spec) bootConfig(now time.Time, root rootfs) (*boot.Config, error) {
	id, err := s.identify(root.image)
	if err != nil {
		return nil, err
	}
	c := &boot.Config{
		Version:       boot.Version,
		Token:         randomBytes(sandbox.TokenSize),
		Seed:          randomBytes(64),
		Hostname:      s.Hostname,
		Env:           id.env,
		Dir:           id.dir,
		User:          id.user,
		Limits:        boot.Limits(s.Limits),
		ClockUnixNano: now.UnixNano(),
		AnnouncePort:  announcePort,
		Network:       s.Network,
		SSH:           s.SSH,
		Shares:        s.Shares,
	}
	if s.SSH.AgentPort != 0 && c.Env["SSH_AUTH_SOCK"] == "" {
		c.Env = maps.Clone(c.Env)
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env["SSH_AUTH_SOCK"] = boot.SSHAgentSocket
	}
	for _, rule := range s.Commands {
		c.Commands = append(c.Commands, boot.CommandRule(rule))
	}
	if len(id.main) > 0 {
		c.Main = &boot.Main{Args: id.main, User: id.mainUser, Restart: s.Restart}
	}
	if root.disk != "" {
		c.Root = boot.Root{Kind: boot.RootDisk, Serial: rootSerial, FSType: root.fsType, Mode: boot.RootOverlay}
	}
	if root.scratch != nil {
		c.Root.OverlaySerial = scratchSerial
	}
	return c, nil
}

// bootSegment puts c into an archive of its own.
func bootSegment(c *boot.Config) ([]byte, error) {
	encoded, err := c.Encode()
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "%w", err)
	}
	return image.BootSegment(encoded)
}

// number reads an id. All bits set is none: the kernel takes it for "unchanged".
func number(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// Places of magic numbers: Linux fs/ext4/ext4.h (s_magic) and fs/erofs/erofs_fs.h, both superblocks at 1024.
const (
	superblock = 1024
	ext4Magic  = 0xef53
	ext4At     = 0x38
	erofsMagic = 0xe0f5e1e2
)

// detectFS looks which of the file systems that guests can mount is on a raw disk.
func detectFS(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	var head [ext4At + 2]byte
	if _, err := f.ReadAt(head[:], superblock); err != nil {
		return "", errdef.New(errdef.ErrInvalid, "image %s is too short for a disk: %w", path, err)
	}
	switch {
	case binary.LittleEndian.Uint32(head[:]) == erofsMagic:
		return "erofs", nil
	case binary.LittleEndian.Uint16(head[ext4At:]) == ext4Magic:
		return "ext4", nil
	}
	return "", errdef.New(errdef.ErrInvalid, "image %s is neither %q nor a raw disk with ext4 or EROFS on it", path, BaseImage).
		WithRemedy("a disk must be one file system without a partition table: mke2fs -t ext4 -d DIRECTORY disk.raw 1G")
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its contract
	return b
}
