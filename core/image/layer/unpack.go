package layer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/voidbox-run/voidbox/core/image/erofs"
)

// maxWindow is how far back zstd may look, which its decoder has to keep.
const maxWindow = 128 << 20

// Unpacked is the archive inside a packed layer. It unpacks in a goroutine of its own, ahead of its reader; Close ends it.
type Unpacked struct {
	pieces chan []byte
	empty  chan []byte
	stop   chan struct{}
	done   sync.WaitGroup
	err    error // set before pieces is closed
	sum    hash.Hash
	piece  []byte // what is left of the one that is being read
	held   []byte // the whole of it, to be given back
}

const (
	pieceSize = 256 << 10
	pieces    = 8
)

// Unpack unpacks packed bytes, gzip, zstd or not packed at all. size is how many there are, which the budget needs.
func Unpack(packed io.Reader, size int64, b *Budget) (*Unpacked, error) {
	r, closer, err := decompress(packed)
	if err != nil {
		return nil, &InvalidError{Err: err}
	}
	u := &Unpacked{pieces: make(chan []byte, pieces), empty: make(chan []byte, pieces), stop: make(chan struct{}), sum: sha256.New()}
	for range pieces {
		u.empty <- make([]byte, pieceSize)
	}
	u.done.Go(func() {
		defer closer()
		defer close(u.pieces)
		u.err = u.fill(b.Reader(r, size))
	})
	return u, nil
}

func decompress(packed io.Reader) (io.Reader, func(), error) {
	in := bufio.NewReaderSize(packed, 1<<20)
	head, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(in)
		return z, func() {}, err
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}

// fill passes on pieces until the end, which it says is none.
func (u *Unpacked) fill(r io.Reader) error {
	for {
		var piece []byte
		select {
		case piece = <-u.empty:
		case <-u.stop:
			return errors.New("closed")
		}
		piece = piece[:cap(piece)]
		n, err := 0, error(nil)
		for n < len(piece) && err == nil {
			var m int
			m, err = r.Read(piece[n:])
			n += m
		}
		u.pieces <- piece[:n] // has room for all there are
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Read reads what was unpacked.
func (u *Unpacked) Read(p []byte) (int, error) {
	for len(u.piece) == 0 {
		if u.held != nil {
			u.empty <- u.held
			u.held = nil
		}
		piece, more := <-u.pieces
		if !more {
			if u.err != nil {
				return 0, u.err
			}
			return 0, io.EOF
		}
		u.sum.Write(piece) // here and not where it is unpacked, which takes longer than all else
		u.piece, u.held = piece, piece
	}
	n := copy(p, u.piece)
	u.piece = u.piece[n:]
	return n, nil
}

// Sum is the SHA-256 of what was unpacked, once Read has returned io.EOF.
func (u *Unpacked) Sum() []byte { return u.sum.Sum(nil) }

// Close ends the unpacking and waits for it.
func (u *Unpacked) Close() {
	close(u.stop)
	u.done.Wait()
}

// DigestError says that content is not what its digest promises.
type DigestError struct{ What, Want, Got string }

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s has the digest %s instead of %s", e.What, e.Got, e.Want)
}

// ReadPacked unpacks a layer of size bytes, reads it, and holds it to diffID, the digest ("sha256:...") of what it unpacks to.
func ReadPacked(ctx context.Context, packed io.Reader, size int64, diffID string, a *erofs.Appender, b *Budget) (*Layer, error) {
	u, err := Unpack(packed, size, b)
	if err != nil {
		return nil, err
	}
	defer u.Close()
	l, err := Read(ctx, u, a, b)
	if err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("sha256:%x", u.Sum()); got != diffID {
		return nil, &DigestError{What: "the unpacked layer", Want: diffID, Got: got}
	}
	return l, nil
}
