package memfs

import (
	"crypto/rand"
	"io"
	"syscall"
)

// The devices that every system has.
var (
	Null   Device = null{}
	Zero   Device = zero{}
	Random Device = random{}
	Full   Device = full{}
)

type null struct{}

func (null) Read([]byte) (int, error)    { return 0, io.EOF }
func (null) Write(b []byte) (int, error) { return len(b), nil }

type zero struct{ null }

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

type random struct{ null }

func (random) Read(b []byte) (int, error) { return rand.Read(b) }

type full struct{ zero }

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
