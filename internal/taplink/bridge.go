//go:build linux

package taplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

const maxFrame = 65535 + 14

// Ask is what to dial a network plugin with.
func Ask() link.Ask {
	return link.Ask{Purpose: link.Frames, Lanes: 1, Features: link.NetFeatures}
}

// Bridge carries frames between a TAP and lane 0 of a link until the link goes down, which is its error, or ctx ends.
func Bridge(ctx context.Context, tap *os.File, l *link.Link) error {
	return BridgeBadly(ctx, tap, l, Impairment{})
}

// BridgeBadly is Bridge by a bad wire, in both directions.
func BridgeBadly(ctx context.Context, tap *os.File, l *link.Link, how Impairment) error {
	raw, err := tap.SyscallConn()
	if err != nil {
		return err
	}
	if err := l.NewEpoch(l.Features()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = tap.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var ends sync.WaitGroup
	var up, down error
	ends.Go(func() {
		defer cancel()
		if how == (Impairment{}) {
			up = toLink(ctx, raw, l.Lane(0).Out)
		} else {
			up = toLinkBadly(ctx, raw, l.Lane(0).Out, how)
		}
	})
	ends.Go(func() {
		defer cancel()
		down = toTap(ctx, raw, l.Lane(0).In, how)
	})
	ends.Wait()
	_ = tap.SetDeadline(time.Time{})
	if err := l.Err(); err != nil {
		return err
	}
	return errors.Join(up, down)
}

// toLink reads frames into the ring, where they stay.
func toLink(ctx context.Context, raw syscall.RawConn, out *link.Writer) error {
	var header [link.NetHeaderSize]byte
	for {
		frame, err := out.TryReserve(link.KindFrame, maxFrame)
		if errors.Is(err, link.ErrFull) {
			if err = out.Wait(ctx, link.KindFrame, maxFrame); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		n, err := system(raw.Read, unix.SYS_READV, header[:], frame)
		if err != nil {
			return fmt.Errorf("read from the tap: %w", err)
		}
		if n < len(header) {
			return io.ErrUnexpectedEOF
		}
		out.CommitFrame(link.ParseNetHeader(header), n-len(header))
		if err := out.Publish(); err != nil {
			return err
		}
	}
}

// toLinkBadly copies each frame, since it may be needed twice.
func toLinkBadly(ctx context.Context, raw syscall.RawConn, out *link.Writer, how Impairment) error {
	w := newWire(how, func(h link.NetHeader, frame []byte) error { return send(ctx, out, h, frame) })
	var header [link.NetHeaderSize]byte
	frame := make([]byte, maxFrame)
	for {
		n, err := system(raw.Read, unix.SYS_READV, header[:], frame)
		if err != nil {
			return fmt.Errorf("read from the tap: %w", err)
		}
		if n < len(header) {
			return io.ErrUnexpectedEOF
		}
		if err := w.carry(link.ParseNetHeader(header), frame[:n-len(header)]); err != nil {
			return err
		}
	}
}

// toTap writes frames to the TAP. One that the kernel does not take is lost, as on any wire.
func toTap(ctx context.Context, raw syscall.RawConn, in *link.Reader, how Impairment) error {
	w := newWire(how, func(h link.NetHeader, frame []byte) error {
		header := h.Bytes()
		_, err := system(raw.Write, unix.SYS_WRITEV, header[:], frame)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
			return err
		}
		return nil
	})
	var rec link.Record
	for {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			err = in.Wait(ctx)
		}
		if err != nil {
			return err
		}
		if !ok || len(rec.Payload) == 0 {
			continue
		}
		if err := w.carry(rec.Net, rec.Payload); err != nil {
			return err
		}
	}
}

// system makes a call when the file is ready for it.
func system(ready func(func(uintptr) bool) error, call uintptr, header, frame []byte) (n int, err error) {
	var errno unix.Errno
	err = ready(func(fd uintptr) bool {
		n, errno = transfer(call, fd, header, frame)
		return errno != unix.EAGAIN
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return n, err
}
