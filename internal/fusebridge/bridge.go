//go:build linux

package fusebridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

// Ask is what to dial a share with.
func Ask() link.Ask { return link.Ask{Purpose: link.Requests, Lanes: 2} }

// Bridge is a mounted share.
type Bridge struct {
	dir   string
	link  *link.Link
	dev   *os.File
	tasks sync.WaitGroup
	ctx   context.Context
	end   context.CancelFunc
	hack  atomic.Bool
}

// Mount mounts what is behind a link, which it takes over, also when it fails.
func Mount(l *link.Link, dir string) (*Bridge, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd)
	if err := unix.Mount("voidbox", dir, "fuse", 0, options); err != nil {
		_ = unix.Close(fd)
		l.Close()
		return nil, fmt.Errorf("mount FUSE at %s: %w", dir, err)
	}
	// Only now: the runtime's poller does not take the descriptor of a device that is not mounted.
	b := &Bridge{dir: dir, link: l, dev: os.NewFile(uintptr(fd), "/dev/fuse")}
	b.ctx, b.end = context.WithCancel(context.Background())
	b.tasks.Go(b.requests)
	b.tasks.Go(b.replies)
	if err := b.pollHack(); err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("first open on FUSE at %s: %w", dir, err)
	}
	return b, nil
}

// Close unmounts, also what is still in use, and waits.
func (b *Bridge) Close() error {
	err := unix.Unmount(b.dir, unix.MNT_DETACH)
	b.end()
	_ = b.dev.Close() // with it goes the connection: what is under way fails
	b.tasks.Wait()
	b.link.Close()
	return err
}

// Opcodes that have no reply.
const (
	opForget      = 2
	opInterrupt   = 36
	opBatchForget = 42
)

// requests moves messages of the kernel into the link. When the link goes down the mount fails, as a guest's does.
func (b *Bridge) requests() {
	defer b.dev.Close()
	buf := make([]byte, b.link.MaxPayload())
	for {
		n, err := b.dev.Read(buf)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINTR): // interrupted before it was read
			continue
		case err != nil:
			return
		}
		if answer, ours := hackAnswer(&b.hack, buf[:n]); ours {
			if answer != nil {
				_, _ = b.dev.Write(answer)
			}
			continue
		}
		if b.send(buf[:n]) != nil {
			return
		}
	}
}

func (b *Bridge) send(message []byte) error {
	switch binary.LittleEndian.Uint32(message[4:]) {
	case opForget, opBatchForget, opInterrupt:
		out := b.link.Lane(0).Out
		if err := b.put(out, link.KindNotice, message); err != nil {
			return err
		}
		out.CommitNotice(len(message))
		return out.Publish()
	}
	out := b.link.Lane(1).Out
	if err := b.put(out, link.KindRequest, message); err != nil {
		return err
	}
	out.CommitRequest(uint32(b.link.MaxPayload()), len(message))
	return out.Publish()
}

func (b *Bridge) put(out *link.Writer, kind link.Kind, message []byte) error {
	for {
		room, err := out.TryReserve(kind, len(message))
		if err == nil {
			copy(room, message)
			return nil
		}
		if !errors.Is(err, link.ErrFull) && !errors.Is(err, link.ErrNoCredit) {
			return err
		}
		if err := out.Wait(b.ctx, kind, len(message)); err != nil {
			return err
		}
	}
}

// replies moves answers back.
func (b *Bridge) replies() {
	defer b.dev.Close()
	in := b.link.Lane(1).In
	var rec link.Record
	for {
		ok, err := in.Next(&rec)
		if err != nil {
			return
		}
		if !ok {
			if in.Wait(b.ctx) != nil {
				return
			}
			continue
		}
		// ENOENT: the request was interrupted, and nobody waits for the answer.
		if _, err := b.dev.Write(rec.Payload); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return
		}
	}
}
