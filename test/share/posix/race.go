//go:build linux

package posix

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// together runs a function in several threads and waits.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// raceCases are about several at once.
func raceCases(a *area) {
	const workers, rounds = 8, 50
	winners := func(name, tree string, try func(t *T, name string, worker int) error, again func(t *T, name string) error) {
		a.test("race/"+name+" has one winner", tree, func(t *T) {
			for round := range rounds {
				var won atomic.Int32
				at := fmt.Sprintf("x%d", round)
				err := together(workers, func(i int) error {
					err := try(t, at, i)
					if err == nil {
						won.Add(1)
					}
					if err == unix.EEXIST || err == unix.ENOENT {
						return nil
					}
					return err
				})
				t.must(err)
				if won.Load() != 1 {
					t.fatalf("round %d has %d winners", round, won.Load())
				}
				t.must(again(t, at))
			}
		})
	}
	remove := func(t *T, name string) error { return os.Remove(t.at(name)) }
	winners("O_EXCL", "", func(t *T, name string, _ int) error {
		return closing(unix.Open(t.at(name), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644))
	}, remove)
	winners("mkdir", "", func(t *T, name string, _ int) error { return unix.Mkdir(t.at(name), 0o755) }, remove)
	winners("symlink", "", func(t *T, name string, _ int) error { return unix.Symlink("x", t.at(name)) }, remove)
	winners("link", "f", func(t *T, name string, _ int) error { return unix.Link(t.at("f"), t.at(name)) }, remove)
	winners("NOREPLACE", "", func(t *T, name string, i int) error {
		own := fmt.Sprintf("%s.%d", name, i)
		if err := os.WriteFile(t.at(own), nil, 0o644); err != nil {
			return err
		}
		defer func() { _ = os.Remove(t.at(own)) }()
		return t.rename(own, name, unix.RENAME_NOREPLACE)
	}, remove)
	a.test("race/one of many renames takes a file", "", func(t *T) {
		for round := range rounds {
			t.write("f", "")
			var won atomic.Int32
			t.must(together(workers, func(i int) error {
				switch err := unix.Rename(t.at("f"), t.at(fmt.Sprintf("got.%d", i))); err {
				case nil:
					won.Add(1)
					return os.Remove(t.at(fmt.Sprintf("got.%d", i)))
				case unix.ENOENT:
					return nil
				default:
					return err
				}
			}))
			if won.Load() != 1 {
				t.fatalf("round %d has %d winners", round, won.Load())
			}
		}
	})
	a.test("race/one of many unlinks removes a file", "", func(t *T) {
		for round := range rounds {
			t.write("f", "")
			var won atomic.Int32
			t.must(together(workers, func(int) error {
				switch err := unix.Unlink(t.at("f")); err {
				case nil:
					won.Add(1)
				case unix.ENOENT:
				default:
					return err
				}
				return nil
			}))
			if won.Load() != 1 {
				t.fatalf("round %d has %d winners", round, won.Load())
			}
		}
	})
	a.test("race/appends lose nothing", "log", func(t *T) {
		const each, length = 100, 64
		t.must(together(workers, func(i int) error {
			fd, err := unix.Open(t.at("log"), unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			for range each {
				if _, err := unix.Write(fd, bytes.Repeat([]byte{'a' + byte(i)}, length)); err != nil {
					return err
				}
			}
			return nil
		}))
		got, err := os.ReadFile(t.at("log"))
		t.must(err)
		same(t, "size", len(got), workers*each*length)
		count := map[byte]int{}
		for len(got) >= length {
			if !bytes.Equal(got[:length], bytes.Repeat(got[:1], length)) {
				t.fatalf("a record is torn: %q", got[:length])
			}
			count[got[0]]++
			got = got[length:]
		}
		for i := range workers {
			same(t, "records", count['a'+byte(i)], each)
		}
	})
	a.test("race/writers of one file, each its part", "", func(t *T) {
		const part = 10_007
		t.write("f", "")
		t.must(together(workers, func(i int) error {
			fd, err := unix.Open(t.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			for at := i * part; at < (i+1)*part; at += 1000 {
				n := min(1000, (i+1)*part-at)
				if _, err := unix.Pwrite(fd, pattern(int64(at), n), int64(at)); err != nil {
					return err
				}
			}
			return nil
		}))
		t.reads("f", string(pattern(0, workers*part)))
	})
	a.test("race/a reader sees the old file or the new one", "f=old-old-old", func(t *T) {
		texts := []string{"old-old-old", "new-new-new-new"}
		var stop atomic.Bool
		t.must(together(4, func(i int) error {
			if i == 0 {
				defer stop.Store(true)
				for round := range rounds {
					if err := os.WriteFile(t.at("f.tmp"), []byte(texts[round%2]), 0o644); err != nil {
						return err
					}
					if err := os.Rename(t.at("f.tmp"), t.at("f")); err != nil {
						return err
					}
				}
				return nil
			}
			for !stop.Load() {
				got, err := os.ReadFile(t.at("f"))
				if err != nil {
					return err
				}
				if string(got) != texts[0] && string(got) != texts[1] {
					return fmt.Errorf("a reader saw %q", got)
				}
			}
			return nil
		}))
	})
	a.test("race/exchanges lose nothing", "a=1 b=2", func(t *T) {
		t.must(together(workers, func(int) error {
			for range rounds {
				if err := t.rename("a", "b", unix.RENAME_EXCHANGE); err != nil {
					return err
				}
			}
			return nil
		}))
		t.reads("a", "1") // an even number of them
		t.reads("b", "2")
	})
	a.test("race/a storm of renames loses no file", "", func(t *T) {
		const files = 10
		for i := range files {
			t.must(unix.Mkdir(t.at(fmt.Sprintf("d%d", i)), 0o755))
			t.write(fmt.Sprintf("d%d/f%d", i, i), itoa(i))
		}
		t.must(together(workers, func(w int) error {
			for round := range 2 * rounds {
				i, from, to := (w+round)%files, round%files, (w*7+round*3)%files
				err := unix.Rename(t.at(fmt.Sprintf("d%d/f%d", from, i)), t.at(fmt.Sprintf("d%d/f%d", to, i)))
				if err != nil && err != unix.ENOENT {
					return err
				}
			}
			return nil
		}))
		found := 0
		for d := range files {
			for i := range files {
				if got, err := os.ReadFile(t.at(fmt.Sprintf("d%d/f%d", d, i))); err == nil {
					found++
					same(t, "text", string(got), itoa(i))
				}
			}
		}
		same(t, "files", found, files)
	})
	a.test("race/directories are moved while files are made in them", "d0/ d1/", func(t *T) {
		var made atomic.Int64
		t.must(unix.Mkdir(t.at("d0/x"), 0o755))
		t.must(together(4, func(w int) error {
			for round := range 2 * rounds {
				if w == 0 {
					if err := t.rename(fmt.Sprintf("d%d/x", round%2), fmt.Sprintf("d%d/x", 1-round%2), 0); err != nil {
						return err
					}
					continue
				}
				name := fmt.Sprintf("d%d/x/f%d.%d", round%2, w, round)
				switch err := closing(unix.Open(t.at(name), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)); err {
				case nil:
					made.Add(1)
				case unix.ENOENT:
				default:
					return err
				}
			}
			return nil
		}))
		same(t, "files", len(namesOf(t.entries("d0/x"))), int(made.Load()))
	})
	a.test("race/trees come and go", "", func(t *T) {
		t.must(together(workers, func(w int) error {
			for round := range 10 {
				dir := t.at(fmt.Sprintf("w%d/%d/x/y", w, round))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				for i := range 5 {
					if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), []byte(itoa(i)), 0o644); err != nil {
						return err
					}
				}
				if err := os.RemoveAll(t.at(fmt.Sprintf("w%d", w))); err != nil {
					return err
				}
			}
			return nil
		}))
		same(t, "what is left", t.names("."), "")
	})
	a.test("race/a truncate beside a writer", "f", func(t *T) {
		t.must(together(2, func(w int) error {
			fd, err := unix.Open(t.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			for range 4 * rounds {
				if w == 0 {
					err = unix.Ftruncate(fd, 0)
				} else {
					_, err = unix.Pwrite(fd, []byte("abcdef"), 100)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}))
		if size := t.size("f"); size != 0 && size != 106 {
			t.errorf("the size is %d", size)
		}
	})
	a.test("race/a mapping beside a writer", "", func(t *T) {
		fd := t.file("f")
		t.must(unix.Ftruncate(fd, 4*page))
		m := t.mapped(fd, 4*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		t.must(together(2, func(w int) error {
			for i := 0; i < 4*page/64; i++ {
				at := i * 64
				if w == 0 {
					copy(m[at:at+32], pattern(int64(at), 32))
					continue
				}
				if _, err := unix.Pwrite(fd, pattern(int64(at+32), 32), int64(at+32)); err != nil {
					return err
				}
			}
			return nil
		}))
		t.must(unix.Msync(m, unix.MS_SYNC))
		t.holds(fd, 0, pattern(0, 4*page))
	})
}
