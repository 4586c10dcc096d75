//go:build linux

package plugintest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// vmmLinkCases are held against devices behind links, or demand that they are declined.
var vmmLinkCases = []vmmCase{
	{"net link", func(s *vmmSession) {
		mac := []byte{2, 0, 0, 0, 0, 7}
		spec := vmm.Link{Kind: vmm.LinkNet, ID: "eth", SocketPath: filepath.Join(s.dir, "net"), MAC: mac, MTU: 1400}
		s.spec.Links = []vmm.Link{spec}
		if !s.has(vmm.CapNet) {
			_, err := s.Create(s.ctx, s.machine())
			s.wantUnsupported("create with a net link", err)
			return
		}
		s.config.Network = boot.Network{Interfaces: []boot.Interface{{MAC: net.HardwareAddr(mac).String(), Addresses: []string{"10.9.8.7/24"}}}}
		network := s.offer(spec.SocketPath, link.Frames)
		s.boot()
		nic := s.netInterface(mac)
		if got := s.sh("cat /sys/class/net/" + nic + "/mtu"); got != "1400\n" {
			s.Errorf("mtu = %q", got)
		}
		s.sh("ping -c 1 -W 1 10.9.8.1; true") // asks by ARP for somebody who is not there
		network.awaitFrom(s, func(frame []byte) bool { return len(frame) > 14 && string(frame[6:12]) == string(mac) })
		if !s.has(vmm.CapRelink) {
			return
		}
		network.hangUp()
		if e := s.history.await(s, vmm.LinkDown); e.Device != "eth" {
			s.Errorf("the event is %+v", e)
		}
		s.awaitShell("test $(cat /sys/class/net/" + nic + "/carrier) = 0")
		next := spec
		next.SocketPath = filepath.Join(s.dir, "net2")
		network = s.offer(next.SocketPath, link.Frames)
		s.must(s.Relink(s.ctx, next))
		if e := s.history.await(s, vmm.LinkUp); e.Device != "eth" {
			s.Errorf("the event is %+v", e)
		}
		s.awaitShell("test $(cat /sys/class/net/" + nic + "/carrier) = 1")
		s.sh("ping -c 1 -W 1 10.9.8.2; true")
		network.awaitFrom(s, func(frame []byte) bool { return len(frame) > 14 && string(frame[6:12]) == string(mac) })
	}},
	{"fs link", func(s *vmmSession) {
		spec := vmm.Link{Kind: vmm.LinkFS, ID: "share", SocketPath: filepath.Join(s.dir, "fs")}
		s.spec.Links = []vmm.Link{spec}
		if !s.has(vmm.CapFS) {
			_, err := s.Create(s.ctx, s.machine())
			s.wantUnsupported("create with an fs link", err)
			return
		}
		share := s.offer(spec.SocketPath, link.Requests)
		s.boot()
		s.background(s.ctx, "mkdir -p /tmp/share && mount -t virtiofs share /tmp/share")
		const fuseInit = 26
		share.awaitFrom(s, func(request []byte) bool {
			return len(request) >= 40 && binary.LittleEndian.Uint32(request[4:]) == fuseInit
		})
		// A share that dies fails what is pending; the guest lives on.
		share.hangUp()
		if e := s.history.await(s, vmm.LinkDown); e.Device != "share" {
			s.Errorf("the event is %+v", e)
		}
		if _, err := s.agent.Info(s.ctx); err != nil {
			s.Errorf("the guest after its share died: %v", err)
		}
	}},
	{"link that nobody offers", func(s *vmmSession) {
		if !s.has(vmm.CapNet) {
			return
		}
		s.spec.Links = []vmm.Link{{Kind: vmm.LinkNet, ID: "eth", SocketPath: filepath.Join(s.dir, "net"), MAC: []byte{2, 0, 0, 0, 0, 7}, MTU: 1500}}
		if _, err := s.Create(s.ctx, s.machine()); err == nil {
			s.Error("the VM was made without its network")
		}
	}},
	{"relink of an unknown device", func(s *vmmSession) {
		if !s.has(vmm.CapRelink) {
			return
		}
		s.create()
		if err := s.Relink(s.ctx, vmm.Link{Kind: vmm.LinkNet, ID: "nobody", SocketPath: filepath.Join(s.dir, "net"), MAC: []byte{2, 0, 0, 0, 0, 7}, MTU: 1500}); err == nil {
			s.Error("a device that is not there got a link")
		}
	}},
}

// netInterface returns the name of the interface with an address.
func (s *vmmSession) netInterface(mac []byte) string {
	s.Helper()
	name := s.sh(fmt.Sprintf("cd /sys/class/net && for d in *; do test \"$(cat $d/address)\" = %s && echo -n $d; done; true", net.HardwareAddr(mac)))
	if name == "" {
		s.Fatalf("no interface has the address %s", net.HardwareAddr(mac))
	}
	return name
}

// awaitShell waits until a line of shell succeeds in the guest.
func (s *vmmSession) awaitShell(script string) {
	s.Helper()
	s.sh("until " + script + "; do sleep 0.05; done")
}

// peer is a plugin at the other end of a link, which reads what comes and answers nothing.
type peer struct {
	listener *link.Listener
	cancel   context.CancelFunc
	done     sync.WaitGroup
	came     chan []byte // what the device sent, the first of it
}

// offer listens for a device's link.
func (s *vmmSession) offer(path string, purpose link.Purpose) *peer {
	s.Helper()
	l, err := link.Listen(path, link.Terms{Purpose: purpose})
	s.must(err)
	ctx, cancel := context.WithCancel(s.ctx)
	p := &peer{listener: l, cancel: cancel, came: make(chan []byte, 64)}
	p.done.Go(func() { p.serve(ctx) })
	s.Cleanup(p.hangUp)
	return p
}

// hangUp dies, as far as the device can tell.
func (p *peer) hangUp() {
	p.cancel()
	_ = p.listener.Close()
	p.done.Wait()
}

func (p *peer) serve(ctx context.Context) {
	l, err := p.listener.Accept(ctx)
	if err != nil {
		return
	}
	defer l.Close()
	var lanes sync.WaitGroup
	for i := range l.Lanes() {
		lanes.Go(func() { p.read(ctx, l.Lane(i).In) })
	}
	lanes.Wait()
}

// read keeps the first bytes of each record.
func (p *peer) read(ctx context.Context, in *link.Reader) {
	for ctx.Err() == nil {
		var rec link.Record
		ok, err := in.Next(&rec)
		if err != nil {
			return
		}
		if !ok {
			if err := in.Wait(ctx); err != nil {
				return
			}
			continue
		}
		select {
		case p.came <- append([]byte(nil), rec.Payload...):
		default: // enough was kept
		}
		in.Release()
	}
}

// awaitFrom reads what the device sends until one record is what the case wants.
func (p *peer) awaitFrom(s *vmmSession, wanted func([]byte) bool) {
	s.Helper()
	for {
		select {
		case record := <-p.came:
			if wanted(record) {
				return
			}
		case <-s.ctx.Done():
			s.Fatalf("the device sends nothing of the kind: %v\nconsole:\n%s", context.Cause(s.ctx), s.console())
		}
	}
}
