//go:build linux

package block

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// faulty is a storage that fails or waits when a test wants it to.
type faulty struct {
	storage
	err  error         // of every call, if set
	slow bool          // calls that must not wait would
	gate chan struct{} // what may wait takes a value from here first, if set
	at   chan struct{} // receives one when a call waits at the gate

	mu  sync.Mutex
	max int // calls at the gate at the same time, at most
	now int
}

func (f *faulty) wait() error {
	if f.gate != nil {
		f.count(1)
		f.at <- struct{}{}
		<-f.gate
		f.count(-1)
	}
	return f.err
}

func (f *faulty) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += n
	f.max = max(f.max, f.now)
}

func (f *faulty) readv(v *vector, offset int64, mode mode) (int, error) {
	if f.slow && mode == mustNotWait {
		return 0, errWouldWait
	}
	if err := f.before(mode); err != nil {
		return 0, err
	}
	return f.storage.readv(v, offset, mode)
}

func (f *faulty) writev(v *vector, offset int64, mode mode) (int, error) {
	if f.slow && mode == mustNotWait {
		return 0, errWouldWait
	}
	if err := f.before(mode); err != nil {
		return 0, err
	}
	return f.storage.writev(v, offset, mode)
}

func (f *faulty) before(mode mode) error {
	if mode == mustNotWait {
		return f.err
	}
	return f.wait()
}

func (f *faulty) sync() error {
	if err := f.wait(); err != nil {
		return err
	}
	return f.storage.sync()
}

func (f *faulty) discard(offset, n int64) error {
	if err := f.wait(); err != nil {
		return err
	}
	return f.storage.discard(offset, n)
}

func (f *faulty) zero(offset, n int64, unmap bool) error {
	if err := f.wait(); err != nil {
		return err
	}
	return f.storage.zero(offset, n, unmap)
}

// startFaulty serves a disk whose storage is between it and a real file.
func startFaulty(t *testing.T, opt Options, f *faulty) *guest {
	t.Helper()
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	dev, err := New(newFile(t, testSectors), opt)
	if err != nil {
		t.Fatal(err)
	}
	f.storage, f.at = dev.disk, make(chan struct{}, 4*depth)
	dev.disk = f
	return startDevice(t, dev)
}

var everyKind = map[string][]byte{
	"read":         header(kindIn, 0),
	"write":        append(header(kindOut, 0), make([]byte, 512)...),
	"flush":        header(kindFlush, 0),
	"discard":      append(header(kindDiscard, 0), ranges(0, 8, 0)...),
	"write zeroes": append(header(kindWriteZeroes, 0), ranges(0, 8, 0)...),
}

// TestStorageFails has every call fail, at once and after it waited: the guest is told, and the log says it once.
func TestStorageFails(t *testing.T) {
	for _, errno := range []error{unix.EIO, unix.ENOSPC, unix.EFBIG, unix.EDQUOT} {
		for _, slow := range []bool{false, true} {
			f := &faulty{err: errno, slow: slow}
			var log bytes.Buffer
			g := startFaulty(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, f)
			for name, readable := range everyKind {
				s, _, _ := g.send(readable, []int{len(readable)}, []int{512, 1})
				if s != statusIOError {
					t.Errorf("%s with %v: status %d", name, errno, s)
				}
			}
			g.stop()
			if st := g.dev.Stats(); st.Errors != uint64(len(everyKind)) {
				t.Errorf("stats are %+v", st)
			}
			if n := strings.Count(log.String(), "disk I/O failed"); n != 1 || !strings.Contains(log.String(), errno.Error()) {
				t.Errorf("logged: %s", log.String())
			}
		}
	}
}

// TestFileShrinks: what the file lost cannot be read any more, and the rest can.
func TestFileShrinks(t *testing.T) {
	g := startGuest(t, Options{})
	want := g.contents()
	if err := os.Truncate(g.dev.file.Name(), testSectors/2*sectorSize); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sector  uint64
		n, used int
	}{
		{testSectors / 2, 1024, 0},
		{testSectors - 1, 512, 0},
		{testSectors/2 - 1, 1024, 512}, // half of it is there, but not all up to the status
	} {
		s, _, used := g.do(kindIn, c.sector, nil, c.n)
		if s != statusIOError || used != c.used {
			t.Errorf("read at sector %d: status %d, used length %d", c.sector, s, used)
		}
	}
	s, data, _ := g.do(kindIn, 0, nil, 4096)
	g.wantStatus(s, statusOK)
	if !bytes.Equal(data, want[:4096]) {
		t.Error("what is left reads differently")
	}
	if err := os.Truncate(g.dev.file.Name(), 0); err != nil {
		t.Fatal(err)
	}
	s, _, _ = g.do(kindIn, 0, nil, 512)
	g.wantStatus(s, statusIOError)
}

// TestHostFull writes to a sparse disk on a file system that is full: the guest gets an error, reads go on, and what was
// written before is still there.
func TestHostFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("mounting a small file system takes root; TestStorageFails injects ENOSPC everywhere")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	file, err := os.Create(filepath.Join(dir, "disk.img"))
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	dev, err := New(file, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g := startDevice(t, dev)
	chunk := make([]byte, 32<<10)
	fillNoise(chunk, 3)
	var full int
	for sector := uint64(0); sector < 2048; sector += 64 {
		if s, _, _ := g.do(kindOut, sector, chunk, 0); s != statusOK {
			g.wantStatus(s, statusIOError)
			full++
		}
	}
	if full == 0 {
		t.Fatal("1 MiB went into a file system of 256 KiB")
	}
	s, data, _ := g.do(kindIn, 0, nil, len(chunk))
	g.wantStatus(s, statusOK)
	if !bytes.Equal(data, chunk) {
		t.Error("what was written before the file system was full is gone")
	}
	// A discard makes room. tmpfs cannot zero a range, so zeroes are written.
	s, _, _ = g.do(kindDiscard, 0, ranges(0, 128, 0), 0)
	g.wantStatus(s, statusOK)
	s, _, _ = g.do(kindWriteZeroes, 0, ranges(32, 32, 0), 0)
	g.wantStatus(s, statusOK)
	s, _, _ = g.do(kindOut, 0, chunk[:4096], 0)
	g.wantStatus(s, statusOK)
}

// TestStopFinishes stops the device while the storage holds requests: Stop returns once they are done, and all were answered.
func TestStopFinishes(t *testing.T) {
	f := &faulty{slow: true, gate: make(chan struct{})}
	g := startFaulty(t, Options{Workers: 4}, f)
	const n = 20
	add := func() {
		at := g.mem.Alloc(1024)
		copy(g.mem.At(at, 16), header(kindIn, 0))
		if _, ok := g.ring.Add(virtiotest.Buffer{Addr: at, Len: 16}, virtiotest.Buffer{Addr: at + 32, Len: 513, Write: true}); !ok {
			t.Fatal("the ring is full")
		}
	}
	for range n {
		add()
	}
	g.ring.Publish()
	for range 4 {
		<-f.at
	}
	stopped := make(chan []*virtio.Queue)
	go func() { stopped <- g.stop() }()
	var queues []*virtio.Queue
	for queues == nil {
		select {
		case f.gate <- struct{}{}:
		case queues = <-stopped:
		}
	}
	if f.now != 0 || f.max > 4 {
		t.Errorf("%d requests are in the storage after Stop; %d were at the same time", f.now, f.max)
	}
	if popped, used := queues[0].Base(), g.ring.UsedIndex(); popped != used {
		t.Errorf("%d chains were popped and %d used", popped, used)
	}
	for {
		if _, used, ok := g.ring.Reap(); !ok {
			break
		} else if used != 513 {
			t.Errorf("used length %d", used)
		}
	}
}

// TestResetMidFlight resets a device that was offered more requests than it holds at a time, and lends it a new ring.
func TestResetMidFlight(t *testing.T) {
	f := &faulty{slow: true, gate: make(chan struct{})}
	g := startFaulty(t, Options{Workers: 2}, f)
	copy(g.mem.At(g.buffer, 16), header(kindFlush, 0))
	for i := range uint16(128) { // one descriptor each is no request, so all share the header of the first
		g.ring.SetDescriptor(int(i), g.buffer, 16, virtiotest.FlagNext, 127)
		g.ring.SetAvail(int(i), i)
	}
	g.ring.SetDescriptor(127, g.buffer+64, 1, virtiotest.FlagWrite, 0)
	g.ring.SetAvailIndex(127)
	g.ring.Notify()
	<-f.at
	<-f.at
	done := make(chan struct{})
	go func() { g.dev.Reset(); close(done) }()
	for running := true; running; {
		select {
		case f.gate <- struct{}{}:
		case <-done:
			running = false
		}
	}
	g.stop()
	f.slow, f.gate = false, nil
	g.lend(g.dev.Features())
	s, _, _ := g.do(kindIn, 3, nil, 512)
	g.wantStatus(s, statusOK)
}

// TestMemoryGone truncates guest memory while the device runs: the queue ends with ErrMemoryGone, inline and in a worker.
func TestMemoryGone(t *testing.T) {
	for _, slow := range []bool{false, true} {
		f := &faulty{slow: slow}
		if slow {
			f.gate = make(chan struct{})
		}
		g := startFaulty(t, Options{}, f)
		copy(g.mem.At(g.buffer, 16), header(kindIn, 0))
		if _, ok := g.ring.Add(virtiotest.Buffer{Addr: g.buffer, Len: 16}, virtiotest.Buffer{Addr: g.buffer + 4096, Len: 513, Write: true}); !ok {
			t.Fatal("the ring is full")
		}
		if slow {
			g.ring.Publish()
			<-f.at
		}
		if err := g.mem.File.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if slow {
			f.gate <- struct{}{}
		} else {
			g.ring.Notify()
		}
		if err := <-g.broken; !errors.Is(err, virtio.ErrMemoryGone) {
			t.Errorf("broken with %v", err)
		}
		g.stop()
	}
}

func TestNewRefuses(t *testing.T) {
	path := newFile(t, 16).Name()
	open := func(flags int) func(*testing.T) *os.File {
		return func(t *testing.T) *os.File {
			f, err := os.OpenFile(path, flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	sized := func(n int64) func(*testing.T) *os.File {
		return func(t *testing.T) *os.File {
			f := newFile(t, 1)
			if err := f.Truncate(n); err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	for name, c := range map[string]struct {
		open func(*testing.T) *os.File
		opt  Options
		want error
	}{
		"read-only file for a writable disk": {open(os.O_RDONLY), Options{}, fs.ErrPermission},
		"file for writing only":              {open(os.O_WRONLY), Options{ReadOnly: true}, fs.ErrInvalid},
		"file for appending":                 {open(os.O_RDWR | os.O_APPEND), Options{}, fs.ErrInvalid},
		"file for direct I/O":                {open(os.O_RDWR | unix.O_DIRECT), Options{}, fs.ErrInvalid},
		"empty file":                         {sized(0), Options{}, fs.ErrInvalid},
		"size of no whole sectors":           {sized(1000), Options{}, fs.ErrInvalid},
		"directory": {func(t *testing.T) *os.File {
			f, err := os.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return f
		}, Options{ReadOnly: true}, fs.ErrInvalid},
		"long serial":      {open(os.O_RDWR), Options{Serial: "one-and-twenty-bytes!"}, fs.ErrInvalid},
		"too many queues":  {open(os.O_RDWR), Options{Queues: 65}, fs.ErrInvalid},
		"negative workers": {open(os.O_RDWR), Options{Workers: -1}, fs.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.open(t)
			defer func() { _ = f.Close() }()
			dev, err := New(f, c.opt)
			if !errors.Is(err, c.want) {
				t.Fatalf("New = %v, %v", dev, err)
			}
			if !strings.Contains(err.Error(), f.Name()) {
				t.Errorf("%q does not name the file", err)
			}
			if _, err := f.Stat(); err != nil {
				t.Errorf("the file is no longer the caller's: %v", err)
			}
		})
	}
}
