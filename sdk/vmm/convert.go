package vmm

import (
	"fmt"
	"maps"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

var linkKinds = map[LinkKind]pluginv1.LinkDevice_Kind{
	LinkNet: pluginv1.LinkDevice_KIND_NET,
	LinkFS:  pluginv1.LinkDevice_KIND_FS,
}

var eventKinds = map[EventKind]pluginv1.WatchVMResponse_Kind{
	Started:  pluginv1.WatchVMResponse_KIND_STARTED,
	Paused:   pluginv1.WatchVMResponse_KIND_PAUSED,
	Resumed:  pluginv1.WatchVMResponse_KIND_RESUMED,
	Reset:    pluginv1.WatchVMResponse_KIND_RESET,
	PowerOff: pluginv1.WatchVMResponse_KIND_POWER_OFF,
	Panic:    pluginv1.WatchVMResponse_KIND_PANIC,
	Failed:   pluginv1.WatchVMResponse_KIND_ERROR,
	Stopped:  pluginv1.WatchVMResponse_KIND_STOPPED,
	LinkDown: pluginv1.WatchVMResponse_KIND_LINK_DOWN,
	LinkUp:   pluginv1.WatchVMResponse_KIND_LINK_UP,
}

func keyOf[K comparable, V comparable](m map[K]V, value V) (key K, ok bool) {
	for k, v := range m {
		if v == value {
			return k, true
		}
	}
	return key, false
}

func machineToProto(m Machine) (*pluginv1.Machine, error) {
	links, err := linksToProto(m.Links)
	if err != nil {
		return nil, err
	}
	p := &pluginv1.Machine{
		Name:        m.Name,
		KernelPath:  m.KernelPath,
		CommandLine: m.CommandLine,
		MemoryBytes: m.MemoryBytes,
		Links:       links,
		Vsock:       vsockToProto(m.Vsock),
		Accelerator: m.Accelerator,
		Disks:       disksToProto(m.Disks),
	}
	if p.Cpus, err = toUint32("cpus", m.CPUs); err != nil {
		return nil, err
	}
	for _, s := range m.Initrd {
		p.Initrd = append(p.Initrd, segmentToProto(s))
	}
	return p, nil
}

func machineFromProto(p *pluginv1.Machine) (Machine, error) {
	if p == nil {
		return Machine{}, errdef.New(errdef.ErrInvalid, "the request names no machine")
	}
	wires, err := wiresFromProto(p.GetLinks(), p.GetVsock())
	if err != nil {
		return Machine{}, err
	}
	m := Machine{
		Name:        p.GetName(),
		KernelPath:  p.GetKernelPath(),
		CommandLine: p.GetCommandLine(),
		CPUs:        int(p.GetCpus()),
		MemoryBytes: p.GetMemoryBytes(),
		Wires:       wires,
		Accelerator: p.GetAccelerator(),
		Disks:       disksFromProto(p.GetDisks()),
	}
	for i, s := range p.GetInitrd() {
		segment, err := segmentFromProto(s)
		if err != nil {
			return Machine{}, fmt.Errorf("initrd segment %d: %w", i, err)
		}
		m.Initrd = append(m.Initrd, segment)
	}
	return m, nil
}

func disksToProto(disks []Disk) []*pluginv1.Disk {
	var out []*pluginv1.Disk
	for _, d := range disks {
		out = append(out, &pluginv1.Disk{Id: d.ID, Path: d.Path, ReadOnly: d.ReadOnly})
	}
	return out
}

func disksFromProto(disks []*pluginv1.Disk) []Disk {
	var out []Disk
	for _, d := range disks {
		out = append(out, Disk{ID: d.GetId(), Path: d.GetPath(), ReadOnly: d.GetReadOnly()})
	}
	return out
}

func segmentToProto(s Segment) *pluginv1.Machine_InitrdSegment {
	if s.Path != "" {
		return &pluginv1.Machine_InitrdSegment{Source: &pluginv1.Machine_InitrdSegment_Path{Path: s.Path}}
	}
	return &pluginv1.Machine_InitrdSegment{Source: &pluginv1.Machine_InitrdSegment_Content{Content: s.Content}}
}

func segmentFromProto(p *pluginv1.Machine_InitrdSegment) (Segment, error) {
	switch source := p.GetSource().(type) {
	case *pluginv1.Machine_InitrdSegment_Path:
		return Segment{Path: source.Path}, nil
	case *pluginv1.Machine_InitrdSegment_Content:
		if len(source.Content) > MaxSegmentContent {
			return Segment{}, errdef.New(errdef.ErrInvalid, "content has %d bytes, at most %d are allowed", len(source.Content), MaxSegmentContent)
		}
		return Segment{Content: source.Content}, nil
	}
	return Segment{}, errdef.New(errdef.ErrInvalid, "neither path nor content is set")
}

func linksToProto(links []Link) ([]*pluginv1.LinkDevice, error) {
	var out []*pluginv1.LinkDevice
	for _, l := range links {
		kind, ok := linkKinds[l.Kind]
		if !ok {
			return nil, errdef.New(errdef.ErrInvalid, "link %q: unknown kind %q", l.ID, l.Kind)
		}
		mtu, err := toUint32("mtu", l.MTU)
		if err != nil {
			return nil, err
		}
		queues, err := toUint32("queues", l.Queues)
		if err != nil {
			return nil, err
		}
		out = append(out, &pluginv1.LinkDevice{
			Kind: kind, Id: l.ID, SocketPath: l.SocketPath, Mac: l.MAC, Mtu: mtu, Queues: queues,
		})
	}
	return out, nil
}

func wiresFromProto(links []*pluginv1.LinkDevice, vsock *pluginv1.Vsock) (Wires, error) {
	var w Wires
	for _, l := range links {
		kind, ok := keyOf(linkKinds, l.GetKind())
		if !ok {
			return Wires{}, errdef.New(errdef.ErrInvalid, "link %q: unknown kind %v", l.GetId(), l.GetKind())
		}
		w.Links = append(w.Links, Link{
			Kind: kind, ID: l.GetId(), SocketPath: l.GetSocketPath(), MAC: l.GetMac(),
			MTU: int(l.GetMtu()), Queues: int(l.GetQueues()),
		})
	}
	if vsock != nil {
		w.Vsock = &Vsock{GuestCID: vsock.GetGuestCid(), SocketPath: vsock.GetSocketPath()}
	}
	return w, nil
}

func vsockToProto(v *Vsock) *pluginv1.Vsock {
	if v == nil {
		return nil
	}
	return &pluginv1.Vsock{GuestCid: v.GuestCID, SocketPath: v.SocketPath}
}

// eventToProto sends an unknown kind as unspecified, which receivers ignore.
func eventToProto(e Event) *pluginv1.WatchVMResponse {
	return &pluginv1.WatchVMResponse{Kind: eventKinds[e.Kind], Detail: e.Detail, State: maps.Clone(e.State), Device: e.Device}
}

func eventFromProto(p *pluginv1.WatchVMResponse) (Event, bool) {
	kind, ok := keyOf(eventKinds, p.GetKind())
	return Event{Kind: kind, Detail: p.GetDetail(), State: p.GetState(), Device: p.GetDevice()}, ok
}

func toUint32(what string, n int) (uint32, error) {
	if n < 0 || uint64(n) > 1<<32-1 {
		return 0, errdef.New(errdef.ErrInvalid, "%s is %d, which is out of range", what, n)
	}
	return uint32(n), nil
}
