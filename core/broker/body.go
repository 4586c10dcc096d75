package broker

import (
	"io"

	"github.com/voidbox-run/voidbox/core/plan"
)

// body is an answer on its way to the guest: counted, and without the key.
type body struct {
	src      io.ReadCloser
	redactor plan.Redactor
	count    *counter         // nil for an answer that nobody pays for
	done     func(whole bool) // told once, when all has been read, or nobody reads on

	buf   []byte // for src; a stream has many small pieces, and a buffer for each would be most of what they cost
	out   []byte // what was cleaned, of which
	ready []byte // this is to be read
	held  []byte // may be the beginning of the key
	err   error  // of src, once it has ended
}

// chunk is how much is read at once.
const chunk = 32 << 10

func (b *body) Read(p []byte) (int, error) {
	for len(b.ready) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.fill()
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// fill reads on. What could be the beginning of the key waits for what follows; all else goes on at once, so that a stream streams.
func (b *body) fill() {
	if b.buf == nil {
		b.buf = make([]byte, chunk)
	}
	n, err := b.src.Read(b.buf)
	if b.count != nil {
		_, _ = b.count.Write(b.buf[:n])
	}
	text := b.redactor.String(string(append(b.held, b.buf[:n]...)))
	open := 0
	if err == nil {
		open = b.redactor.Open(text)
	}
	b.out = append(b.out[:0], text[:len(text)-open]...)
	b.ready, b.held, b.err = b.out, append(b.held[:0], text[len(text)-open:]...), err
	if err != nil {
		b.finish(err == io.EOF)
	}
}

func (b *body) finish(whole bool) {
	if done := b.done; done != nil {
		b.done = nil
		done(whole)
	}
}

func (b *body) Close() error {
	b.finish(false)
	return b.src.Close()
}
