//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

// Ask is what a device asks a plugin for.
type Ask struct {
	Purpose Purpose
	// Lanes is one a virtqueue, or queue pair.
	Lanes int
	// Features are the offloads that the device could pass on; Link.Features has those that the plugin knows too.
	Features Features
	// Epoch is the number that the link begins with. Redial counts on.
	Epoch uint32
}

// Dial is the device's side of a link, fetched from the plugin's socket at path.
func Dial(ctx context.Context, path string, ask Ask) (*Link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixpacket", path)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return Connect(ctx, conn.(*net.UnixConn), ask)
}

// Redial makes a new link in the place of l, once its peer has been replaced: what l asked for, in the next epoch. l goes
// down, and stays to be closed by whoever owns it. The plugin knows nothing of the guest's driver then: NewEpoch tells it.
func (l *Link) Redial(ctx context.Context, path string) (*Link, error) {
	if !l.device {
		return nil, errors.New("link: the plugin's end does not dial")
	}
	_ = l.Break(ErrClosed)
	return Dial(ctx, path, Ask{Purpose: l.purpose, Lanes: len(l.lanes), Features: l.asked, Epoch: l.epoch.Load() + 1})
}

// Connect is Dial on a connected SOCK_SEQPACKET socket, which it takes over, also when it fails.
func Connect(ctx context.Context, conn *net.UnixConn, ask Ask) (*Link, error) {
	var l *Link
	err := during(ctx, conn, func() (err error) {
		l, err = fetch(conn, ask)
		return err
	})
	if err != nil {
		if l != nil {
			l.Close()
		}
		_ = conn.Close()
		return nil, fmt.Errorf("link handshake: %w", err)
	}
	l.watch.Go(l.watchPeer)
	return l, nil
}

func fetch(conn *net.UnixConn, ask Ask) (*Link, error) {
	if ask.Lanes < 1 || ask.Lanes > MaxLanes {
		return nil, fmt.Errorf("%d lanes: a link has 1 to %d", ask.Lanes, MaxLanes)
	}
	if err := errors.Join(checkSocket(conn), fdpass.CheckPeer(conn, os.Getuid())); err != nil {
		return nil, err
	}
	h := hello{version: version, purpose: ask.Purpose, lanes: uint32(ask.Lanes), epoch: ask.Epoch, features: ask.Features}
	if err := fdpass.Send(conn, h.encode()); err != nil {
		return nil, err
	}
	msg, fds, err := receive(conn, max(offerSize, 8+maxReason), 1+ask.Lanes*eventsPerLane)
	if err != nil {
		return nil, err
	}
	s, err := judge(msg, ask)
	if err != nil {
		fdpass.CloseAll(fds)
		return nil, err
	}
	mem, events, err := open(fds, s.geo)
	if err != nil {
		return nil, err
	}
	l := assemble(s, conn, mem, events)
	l.asked = ask.Features
	return l, fdpass.Send(conn, encodeAccept())
}

// judge checks an offer against what was asked.
func judge(msg []byte, ask Ask) (settled, error) {
	o, err := parseOffer(msg)
	if err != nil {
		return settled{}, err
	}
	if o.lanes != uint32(ask.Lanes) {
		return settled{}, fmt.Errorf("%d lanes were offered, and %d asked for", o.lanes, ask.Lanes)
	}
	if extra := o.features &^ ask.Features; extra != 0 {
		return settled{}, fmt.Errorf("features %#x were offered and not asked for", uint64(extra))
	}
	s := settled{
		purpose: ask.Purpose, device: true, credits: o.credits, features: o.features, epoch: ask.Epoch,
		geo: geometry{lanes: ask.Lanes, ringSize: o.ringSize, maxPayload: o.maxPayload},
	}
	return s, errors.Join(s.geo.check(), checkCredits(s.purpose, s.credits))
}

// open takes over the descriptors of an offer, also when it fails.
func open(fds []int, geo geometry) (mem []byte, events []*event, err error) {
	if want := 1 + geo.lanes*eventsPerLane; len(fds) != want {
		fdpass.CloseAll(fds)
		return nil, nil, fmt.Errorf("%d descriptors were offered, and %d are needed", len(fds), want)
	}
	defer unix.Close(fds[0])
	for i, fd := range fds[1:] {
		e, err := openEvent(fd)
		if err != nil {
			fdpass.CloseAll(fds[i+2:])
			closeEvents(events)
			return nil, nil, err
		}
		events = append(events, e)
	}
	if err := prepareWaits(events, true); err != nil {
		closeEvents(events)
		return nil, nil, err
	}
	mem, err = openMemory(fds[0], geo.size())
	if err != nil {
		closeEvents(events)
		return nil, nil, err
	}
	return mem, events, nil
}
