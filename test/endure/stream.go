package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// A stream is a series of blocks, each with its length before it, and a block of length 0 at its end. What is in them follows from
// the stream's seed, so that its reader knows every byte, and a stream that ends early does not look whole.

const maxBlock = 64 << 10

type seed [32]byte

func newSeed(rng *rand.Rand) (s seed) {
	for at := 0; at < len(s); at += 8 {
		binary.LittleEndian.PutUint64(s[at:], rng.Uint64())
	}
	return s
}

// amount says how much of a stream is written: so many bytes, less if the time is over sooner, and not more than so many a second.
type amount struct {
	bytes int64
	until time.Time // zero means that there is time enough
	rate  float64   // 0 means as quick as it goes
}

// writeStream writes a stream and returns the bytes in its blocks.
func writeStream(w io.Writer, s seed, a amount) (n int64, err error) {
	source, sizes := rand.NewChaCha8(s), rand.New(rand.NewPCG(uint64(s[0]), uint64(s[1])))
	b := make([]byte, 4+min(maxBlock, a.bytes))
	begin := time.Now()
	for n < a.bytes && (a.until.IsZero() || time.Now().Before(a.until)) {
		block := b[:4+min(1+sizes.Int64N(maxBlock), a.bytes-n)]
		binary.LittleEndian.PutUint32(block, uint32(len(block)-4))
		_, _ = source.Read(block[4:])
		if _, err := w.Write(block); err != nil {
			return n, err
		}
		n += int64(len(block) - 4)
		if a.rate > 0 {
			time.Sleep(time.Duration(float64(n)/a.rate*float64(time.Second)) - time.Since(begin))
		}
	}
	_, err = w.Write(make([]byte, 4))
	return n, err
}

// errOtherBytes is what a soak is there to find.
var errOtherBytes = errors.New("other bytes came than were sent")

// readStream reads a stream to its end, compares it, and returns the bytes in its blocks.
func readStream(r io.Reader, s seed) (n int64, err error) {
	source := rand.NewChaCha8(s)
	var got, want []byte
	for {
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return n, endedEarly(err)
		}
		size := binary.LittleEndian.Uint32(length[:])
		if size == 0 {
			return n, nil
		}
		if size > maxBlock {
			return n, fmt.Errorf("%w: a block of %d bytes after %d", errOtherBytes, size, n)
		}
		if got == nil {
			got, want = make([]byte, maxBlock), make([]byte, maxBlock)
		}
		_, _ = source.Read(want[:size])
		came, err := io.ReadFull(r, got[:size])
		if !bytes.Equal(got[:came], want[:came]) {
			return n, fmt.Errorf("%w: in the block after %d", errOtherBytes, n)
		}
		n += int64(came)
		if err != nil {
			return n, endedEarly(err)
		}
	}
}

func endedEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// datagram is the one of a number: its size, between 8 bytes and the greatest, and all that is in it follow from the number.
func datagram(number uint64) []byte {
	const greatest = 65507 // over IPv4
	rng := rand.New(rand.NewPCG(number, 0))
	size := 8 + rng.IntN(1600)
	switch rng.IntN(8) {
	case 0:
		size = 8 + rng.IntN(greatest-7)
	case 1:
		size = greatest
	}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, size), number)
	var s seed
	copy(s[:], b)
	_, _ = rand.NewChaCha8(s).Read(b[8:size])
	return b[:size]
}

// checkDatagram tells whether a datagram is what its number says.
func checkDatagram(b []byte) error {
	if len(b) < 8 || !bytes.Equal(b, datagram(binary.LittleEndian.Uint64(b))) {
		return fmt.Errorf("%w: in a datagram of %d bytes", errOtherBytes, len(b))
	}
	return nil
}
