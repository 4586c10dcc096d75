//go:build linux

package filework

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	largest = 1 << 20
	steps   = 24
)

// writeRound changes a file in every way, through two descriptors, and compares it after each.
func writeRound(b *bench) error {
	f, err := os.OpenFile(b.at("file"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	other, err := os.OpenFile(b.at("file"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer other.Close()
	var model []byte
	for range steps {
		if model, err = b.change(f, model); err != nil {
			return err
		}
		if err := check(other, model); err != nil {
			return err
		}
		f, other = other, f
	}
	again, err := os.ReadFile(b.at("file"))
	if err != nil {
		return err
	}
	return errors.Join(compare("a file that is opened again", again, model), os.Remove(b.at("file")))
}

// change changes a file and its model in one way of several.
func (b *bench) change(f *os.File, model []byte) ([]byte, error) {
	at := b.rand.IntN(largest)
	switch b.rand.IntN(7) {
	case 0: // cut, or grown
		return resized(model, at), f.Truncate(int64(at))
	case 1: // a hole
		if len(model) == 0 {
			return model, nil
		}
		from := b.rand.IntN(len(model))
		n := 1 + b.rand.IntN(len(model)-from)
		clear(model[from : from+n])
		return model, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(from), int64(n))
	case 2:
		return model, f.Sync()
	case 3: // a piece of itself
		return b.copyWithin(f, model)
	}
	part := b.bytes(1 + b.rand.IntN(largest/8))
	model = resized(model, max(len(model), at+len(part)))
	copy(model[at:], part)
	_, err := f.WriteAt(part, int64(at))
	return model, err
}

// copyWithin copies the first part of a file behind its end.
func (b *bench) copyWithin(f *os.File, model []byte) ([]byte, error) {
	n := min(len(model), largest/4)
	for done := 0; done < n; {
		from, to := int64(done), int64(len(model))
		copied, err := unix.CopyFileRange(int(f.Fd()), &from, int(f.Fd()), &to, n-done, 0)
		if err != nil || copied == 0 {
			return model, err
		}
		model = append(model, model[done:done+copied]...)
		done += copied
	}
	return model, nil
}

func resized(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n]
	}
	grown := slices.Grow(b, n-len(b))[:n]
	clear(grown[len(b):])
	return grown
}

// check compares a file with its model, in pieces of odd sizes.
func check(f *os.File, model []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != int64(len(model)) {
		return differs("the size of a file", int(info.Size()))
	}
	const piece = 77_777
	buf := make([]byte, piece)
	for at := 0; at < len(model); at += piece {
		want := model[at:min(at+piece, len(model))]
		n, err := f.ReadAt(buf[:len(want)], int64(at))
		if err != nil {
			return err
		}
		if err := compare("a file", buf[:n], want); err != nil {
			return err
		}
	}
	return nil
}

// mapRound writes by way of a mapping and by calls.
func mapRound(b *bench) error {
	const pages, page = 64, 4096
	f, err := os.OpenFile(b.at("mapped"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(pages * page); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, pages*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	model := make([]byte, pages*page)
	for range steps {
		part := b.bytes(1 + b.rand.IntN(3*page))
		at := b.rand.IntN(len(model) - len(part))
		copy(model[at:], part)
		if b.rand.IntN(2) == 0 {
			copy(m[at:], part)
		} else if _, err := f.WriteAt(part, int64(at)); err != nil {
			return err
		}
		if b.rand.IntN(4) == 0 {
			if err := unix.Msync(m, unix.MS_SYNC); err != nil {
				return err
			}
		}
		if err := errors.Join(check(f, model), compare("a mapping", m, model)); err != nil {
			return err
		}
	}
	if err := unix.Munmap(m); err != nil {
		return err
	}
	again, err := os.ReadFile(b.at("mapped"))
	if err != nil {
		return err
	}
	return errors.Join(compare("a file that was mapped", again, model), os.Remove(b.at("mapped")))
}

// namelessRound works on a file that has lost its name, or has none yet.
func namelessRound(b *bench) error {
	want := b.bytes(1 + b.rand.IntN(largest/4))
	f, err := os.OpenFile(b.at("lost"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(b.at("lost")); err != nil {
		return err
	}
	if _, err := f.Write(want); err != nil {
		return err
	}
	fd, err := unix.Open(b.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	t := os.NewFile(uintptr(fd), "nameless")
	defer t.Close()
	if _, err := t.Write(want); err != nil {
		return err
	}
	named := b.at("named")
	if err := unix.Linkat(fd, "", unix.AT_FDCWD, named, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	again, err := os.ReadFile(named)
	if err != nil {
		return err
	}
	return errors.Join(check(f, want), check(t, want), compare("a file that got a name", again, want), os.Remove(named))
}
