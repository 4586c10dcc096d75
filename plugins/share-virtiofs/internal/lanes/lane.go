//go:build linux

package lanes

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/sharefs"
)

// Serve answers what comes over a link until it goes down or ctx ends, and waits for all that it has started. It returns why.
func Serve(ctx context.Context, l *link.Link, fs *sharefs.FS) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Break(ctx.Err()) })
	defer stop()
	var lanes sync.WaitGroup
	for i := range l.Lanes() {
		lane := &lane{link: l, fs: fs, in: l.Lane(i).In, out: l.Lane(i).Out}
		if requests := l.Lanes() - 1; i > 0 && requests < runtime.GOMAXPROCS(0) {
			w, err := newWait(lane.in)
			if err != nil {
				_ = l.Break(err)
				break
			}
			defer w.poller.Free()
			lanes.Go(func() {
				<-l.Done()
				w.poller.Close()
			})
			lane.wait = w
		}
		lanes.Go(func() {
			_ = l.Break(lane.serve())
			lane.slow.Wait()
		})
	}
	lanes.Wait()
	return l.Err()
}

// lane is one queue of the guest's.
type lane struct {
	link *link.Link
	fs   *sharefs.FS
	in   *link.Reader
	wait *wait // nil where it waits as goroutines do
	slow sync.WaitGroup

	writing sync.Mutex // guards out
	out     *link.Writer

	request sharefs.Request // of the reading goroutine, which uses its buffers again
	body    []byte
}

// batch bounds how many requests are answered before the guest sees the answers.
const batch = 16

func (l *lane) serve() error {
	var rec link.Record
	for n := 0; ; n++ {
		ok, err := l.in.Next(&rec)
		if err != nil {
			return err
		}
		if ok {
			if err := l.take(&rec); err != nil {
				return err
			}
		}
		if ok && n < batch {
			continue
		}
		n = 0
		if err := l.publish(); err != nil {
			return err
		}
		if ok {
			l.in.Release()
			continue
		}
		if err := l.await(); err != nil {
			return err
		}
	}
}

func (l *lane) publish() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.out.Publish()
}

// take answers a record, or has it answered.
func (l *lane) take(rec *link.Record) error {
	switch rec.Kind {
	case link.KindRequest:
	case link.KindNotice:
		if q, err := l.parse(rec); err == nil && q.Header.Opcode.Silent() {
			l.fs.Serve(q)
		}
		return nil
	default:
		return nil // a new epoch: the guest says more with its first INIT
	}
	q, err := l.parse(rec)
	switch {
	case err != nil:
		return l.reply(rec.Tag, q, unix.EIO)
	case q.Header.Opcode == fuse.Read:
		return l.read(rec.Tag, q)
	case sharefs.Slow(q.Header.Opcode):
		l.serveLater(rec.Tag, q)
		return nil
	}
	return l.reply(rec.Tag, q, l.fs.Serve(q))
}

var errMessage = errors.New("message that is none")

// parse copies a message out of the link. What it returns is valid until the next one.
func (l *lane) parse(rec *link.Record) (*sharefs.Request, error) {
	q := &l.request
	q.Header, q.Body, q.Data, q.Reply = fuse.Header{}, nil, nil, q.Reply[:0]
	q.Room = int(rec.Room) - fuse.OutHeaderSize
	var head [fuse.HeaderSize]byte
	copy(head[:], rec.Payload)
	header, err := fuse.ParseHeader(head[:min(len(rec.Payload), len(head))])
	if err != nil {
		return q, fmt.Errorf("%w: %w", errMessage, err)
	}
	q.Header = header
	if uint64(header.Length) != uint64(len(rec.Payload)) || rec.Kind == link.KindRequest && (q.Room < 0 || header.Opcode.Silent()) {
		return q, errMessage
	}
	rest := rec.Payload[fuse.HeaderSize:]
	if header.Opcode == fuse.Write {
		n := min(len(rest), fuse.TransferSize)
		rest, q.Data = rest[:n], rest[n:]
	}
	l.body = append(l.body[:0], rest...)
	q.Body = l.body
	return q, nil
}

// read answers a READ at once if the host has the bytes.
func (l *lane) read(tag link.Tag, q *sharefs.Request) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	buf, err := l.reserve(fuse.OutHeaderSize + q.ReadSize())
	if err != nil {
		return err
	}
	n, later, errno := l.fs.ReadNow(q, buf[fuse.OutHeaderSize:])
	if later {
		l.serveLater(tag, q) // and the reservation lapses
		return nil
	}
	fuse.PutOutHeader(buf, fuse.OutHeaderSize+n, uint32(errno), q.Header.Unique)
	l.out.CommitReply(tag, fuse.OutHeaderSize+n)
	return nil
}

// serveLater answers a request that can take its time. There are no more of them than the lane has credits.
func (l *lane) serveLater(tag link.Tag, q *sharefs.Request) {
	own := &sharefs.Request{Header: q.Header, Body: append([]byte(nil), q.Body...), Room: q.Room}
	l.slow.Go(func() {
		errno := l.fs.Serve(own)
		err := l.reply(tag, own, errno)
		if err == nil {
			err = l.publish()
		}
		if err != nil {
			_ = l.link.Break(err)
		}
	})
}

// reply writes the answer to a request.
func (l *lane) reply(tag link.Tag, q *sharefs.Request, errno unix.Errno) error {
	body := q.Reply
	if errno != 0 {
		body = nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	n := fuse.OutHeaderSize + len(body)
	if q.Room < 0 {
		return fmt.Errorf("%w: it has no room for an answer", errMessage)
	}
	buf, err := l.reserve(n)
	if err != nil {
		return err
	}
	fuse.PutOutHeader(buf, n, uint32(errno), q.Header.Unique)
	copy(buf[fuse.OutHeaderSize:], body)
	l.out.CommitReply(tag, n)
	return nil
}

// reserve waits for room if it must: the device always takes what comes, in the end.
func (l *lane) reserve(n int) ([]byte, error) {
	buf, err := l.out.TryReserve(link.KindReply, n)
	if !errors.Is(err, link.ErrFull) {
		return buf, err
	}
	if err := l.out.Wait(context.Background(), link.KindReply, n); err != nil {
		return nil, err
	}
	return l.out.TryReserve(link.KindReply, n)
}
