package erofs

import (
	"bytes"
	"fmt"
	"io"
	"math"
)

// Content is the content of a file, once it was appended to an image.
type Content struct {
	size   int64
	block  int64  // of the first byte, once it was written
	inline []byte // small content, which goes behind the inode
}

// Size is the number of bytes.
func (c *Content) Size() int64 {
	if c == nil {
		return 0
	}
	return c.size
}

const (
	// maxInline is the size up to which content goes behind its inode: half a block, since what is larger wastes no more in a
	// block of its own.
	maxInline = BlockSize / 2
	// maxInlineTotal bounds the memory that such content takes until the end. What comes then gets a block of its own.
	maxInlineTotal = 256 << 20
	batchSize      = 1 << 20
)

// Appender puts content into an image. It collects small files, so that writing them takes few system calls. It belongs to one
// goroutine.
type Appender struct {
	w       *Writer
	batch   []byte
	pending []*Content // in batch; their block counts from its beginning
}

// NewAppender returns an appender for one goroutine. Its Flush must be called before Finish.
func (w *Writer) NewAppender() *Appender { return &Appender{w: w} }

// Append takes size bytes from r. Fewer are an error: io.ErrUnexpectedEOF.
func (a *Appender) Append(r io.Reader, size int64) (*Content, error) {
	c := &Content{size: size}
	switch {
	case size < 0:
		return nil, fmt.Errorf("content of %d bytes", size)
	case size == 0:
		return c, nil
	case size <= maxInline && a.w.inlined.Add(size) <= maxInlineTotal:
		c.inline = make([]byte, size)
		return c, readFull(r, c.inline)
	case size <= batchSize:
		return c, a.collect(c, r)
	}
	return c, a.stream(c, r)
}

// collect puts content into the batch.
func (a *Appender) collect(c *Content, r io.Reader) error {
	room := int(blocks(c.size) * BlockSize)
	if len(a.batch)+room > batchSize {
		if err := a.Flush(); err != nil {
			return err
		}
	}
	if a.batch == nil {
		a.batch = make([]byte, 0, batchSize)
	}
	at := len(a.batch)
	a.batch = a.batch[:at+room]
	if err := readFull(r, a.batch[at:at+int(c.size)]); err != nil {
		return err
	}
	clear(a.batch[at+int(c.size):])
	c.block = int64(at / BlockSize)
	a.pending = append(a.pending, c)
	return nil
}

// Flush writes what was collected.
func (a *Appender) Flush() error {
	if len(a.batch) == 0 {
		return nil
	}
	first, err := a.w.allocate(int64(len(a.batch) / BlockSize))
	if err != nil {
		return err
	}
	for _, c := range a.pending {
		c.block += first
	}
	err = a.w.write(a.batch, first*BlockSize)
	a.batch, a.pending = a.batch[:0], a.pending[:0]
	return err
}

// stream writes content that is too large to be collected. Long runs of zeros become holes.
func (a *Appender) stream(c *Content, r io.Reader) error {
	if err := a.Flush(); err != nil {
		return err
	}
	first, err := a.w.allocate(blocks(c.size))
	if err != nil {
		return err
	}
	c.block = first
	if a.batch == nil {
		a.batch = make([]byte, 0, batchSize)
	}
	for at := int64(0); at < c.size; {
		piece := a.batch[:min(batchSize, c.size-at)]
		if err := readFull(r, piece); err != nil {
			return err
		}
		if !allZero(piece) {
			if err := a.w.write(piece, first*BlockSize+at); err != nil {
				return err
			}
		}
		at += int64(len(piece))
	}
	return nil
}

func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

var zeros [64 << 10]byte

func allZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// allocate reserves n blocks. An image has as many as 32 bits can count.
func (w *Writer) allocate(n int64) (int64, error) {
	end := w.next.Add(n)
	if n < 0 || end < 0 || end > math.MaxUint32 {
		return 0, fmt.Errorf("the image would have more than %d blocks of %d bytes", uint32(math.MaxUint32), BlockSize)
	}
	return end - n, nil
}

// Reader reads content back from the image. What an appender has collected is there after its Flush.
func (c *Content) Reader(image io.ReaderAt) io.Reader {
	switch {
	case c == nil || c.size == 0:
		return bytes.NewReader(nil)
	case c.inline != nil:
		return bytes.NewReader(c.inline)
	}
	return io.NewSectionReader(image, c.block*BlockSize, c.size)
}
