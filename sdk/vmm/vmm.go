package vmm

import (
	"context"
	"time"
)

// Capabilities that a monitor may lack.
const (
	CapPause    = "pause"
	CapSnapshot = "snapshot"
	CapNet      = "net" // links of kind net
	CapFS       = "fs"  // links of kind fs
	CapRelink   = "relink"
)

// VMM monitors one VM.
type VMM interface {
	// Create checks the machine and acquires all that it needs. Nothing of the guest runs yet.
	Create(ctx context.Context, m Machine) (Created, error)
	// Start lets the vCPUs run.
	Start(ctx context.Context) error
	// Pause stops the vCPUs at an instruction boundary; Resume lets them go on. Capability CapPause.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Stop ends the VM: by its power button when grace is positive, then for good. Stopping twice is not an error.
	Stop(ctx context.Context, grace time.Duration) error
	// Snapshot writes the state of a paused VM into a directory. Capability CapSnapshot.
	Snapshot(ctx context.Context, dir string) error
	// Restore takes the place of Create; the VM is paused afterwards. Capability CapSnapshot.
	//
	// disks say where the disks of the snapshot lie now, by id, since two VMs of one snapshot must not write to one file; those
	// that are not named lie where they lay.
	Restore(ctx context.Context, dir string, wires Wires, disks []Disk) error
	// Relink gives a device a new link, once the process at the other end of the old one was replaced: link has the device's
	// id, and only its SocketPath may differ from before. Until then a net device has no carrier, and an fs device fails with
	// EIO. Capability CapRelink.
	Relink(ctx context.Context, link Link) error
	// Watch calls fn with every event from the first one on, and returns after the one of kind Stopped.
	Watch(ctx context.Context, fn func(Event) error) error
	// Console calls fn with console output from the oldest byte kept (the last 256 KiB); lost counts bytes that were dropped
	// before data. With follow it goes on until the VM stops.
	Console(ctx context.Context, follow bool, fn func(data []byte, lost uint64) error) error
	// Metrics reads counters by dotted name.
	Metrics(ctx context.Context) (map[string]uint64, error)
}

// Machine describes a VM.
type Machine struct {
	Name        string // for logs; [a-z0-9-], at most 63 bytes
	KernelPath  string // ELF vmlinux or bzImage
	Initrd      []Segment
	CommandLine string // added to what the monitor itself needs
	CPUs        int
	MemoryBytes uint64
	Disks       []Disk
	Wires
	Accelerator string // auto, kvm, hvf or tcg, for monitors that have a choice
}

// Wires are a VM's connections to other processes.
type Wires struct {
	Links []Link
	Vsock *Vsock // no vsock device when nil
}

// MaxSegmentContent bounds Segment.Content, in bytes.
const MaxSegmentContent = 1 << 20

// Segment is one archive of the initramfs: Path or Content is set. Content is for what must not touch a disk, such as the boot
// configuration with its secret; at most 1 MiB.
type Segment struct {
	Path    string
	Content []byte
}

// Disk is a block device over a raw file.
type Disk struct {
	ID       string // serial that the guest sees; at most 20 bytes
	Path     string
	ReadOnly bool
}

// LinkKind is the kind of device behind a link.
type LinkKind string

// Kinds of link.
const (
	LinkNet LinkKind = "net"
	LinkFS  LinkKind = "fs"
)

// Link is a virtio device whose frames or requests travel over shared-memory rings.
type Link struct {
	Kind       LinkKind
	ID         string // unique in the VM; fs: also the tag by which the guest mounts it, at most 36 bytes
	SocketPath string // where the link's descriptors are fetched
	MAC        []byte // net: six bytes
	MTU        int    // net
	Queues     int    // 0 means 1
}

// Vsock is the socket device. A host client connects to SocketPath, writes "CONNECT <port>\n" and reads "OK <port>\n"; a
// connection of the guest to port P of the host arrives at SocketPath_P.
type Vsock struct {
	GuestCID   uint32 // 3 or more
	SocketPath string
}

// Created says what was chosen.
type Created struct {
	Accelerator string // kvm, hvf or tcg
	Monitor     string // version of the monitor, for logs
}

// EventKind is the kind of an event.
type EventKind string

// Kinds of event. Stopped is the last one.
const (
	Started  EventKind = "started"
	Paused   EventKind = "paused"
	Resumed  EventKind = "resumed"
	Reset    EventKind = "reset"
	PowerOff EventKind = "power_off"
	Panic    EventKind = "panic"
	Failed   EventKind = "error"
	Stopped  EventKind = "stopped"
	LinkDown EventKind = "link_down"
	LinkUp   EventKind = "link_up"
)

// Event is something that happened to the VM.
type Event struct {
	Kind   EventKind
	Detail string
	State  map[string]string // registers, instruction bytes and the like, by name
	Device string            // LinkDown, LinkUp: the link's ID
}
