package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// A soak that cannot fail shows nothing.
func TestOtherBytesAreFound(t *testing.T) {
	var s bytes.Buffer
	const size = 300_000
	if n, err := writeStream(&s, seed{1, 2, 3}, amount{bytes: size}); n != size || err != nil {
		t.Fatal(n, err)
	}
	whole := s.Bytes()
	read := func(b []byte, s seed) error {
		n, err := readStream(bytes.NewReader(b), s)
		if err == nil && n != size {
			t.Errorf("%d bytes of %d", n, size)
		}
		return err
	}
	if err := read(whole, seed{1, 2, 3}); err != nil {
		t.Error(err)
	}
	if err := read(whole, seed{1, 2, 4}); !errors.Is(err, errOtherBytes) {
		t.Errorf("another stream: %v", err)
	}
	for _, cut := range []int{0, 2, 4, 70_000, len(whole) - 4, len(whole) - 1} {
		if err := read(whole[:cut], seed{1, 2, 3}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	for _, at := range []int{4, 70_000, len(whole) - 5} {
		broken := bytes.Clone(whole)
		broken[at] ^= 0x10
		if err := read(broken, seed{1, 2, 3}); err == nil {
			t.Errorf("byte %d is another, and nobody saw it", at)
		}
	}
}

func TestDatagramsTellOnThemselves(t *testing.T) {
	sizes := map[int]bool{}
	for number := range uint64(100) {
		b := datagram(number)
		sizes[len(b)] = true
		if err := checkDatagram(b); err != nil {
			t.Error(err)
		}
		for _, broken := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), append([]byte{b[0] ^ 1}, b[1:]...)} {
			if checkDatagram(broken) == nil {
				t.Errorf("datagram %d with another byte is taken for a good one", number)
			}
		}
	}
	if !sizes[65507] || len(sizes) < 50 {
		t.Errorf("sizes: %v", sizes)
	}
}
