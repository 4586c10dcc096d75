//go:build linux

package vhostuser_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// Messages that are refused while the session goes on.
func TestRefusedMessages(t *testing.T) {
	front, _ := serve(t, &device{})
	mem := virtiotest.NewMemory(t, 1<<20)
	r := virtiotest.NewRing(t, mem, 64, features)
	front.Negotiate(features)
	front.SetMemory(mem)
	front.StartRing(0, r, 0)

	u32, u64 := virtiotest.U32, virtiotest.U64
	file := int(mem.File.Fd())
	region := func(guest, size, user, offset uint64) []byte {
		return append(u32(1, 0), u64(guest, size, user, offset)...)
	}
	two := append(u32(2, 0), u64(0, 4096, 0, 0, 2048, 4096, 0, 0)...)
	for _, c := range []struct {
		name    string
		request uint32
		payload []byte
		fds     []int
	}{
		{"unknown message", 99, nil, nil},
		{"message 0", 0, nil, nil},
		{"features without payload", virtiotest.MsgSetFeatures, nil, nil},
		{"features of 9 bytes", virtiotest.MsgSetFeatures, make([]byte, 9), nil},
		{"features not offered", virtiotest.MsgSetFeatures, u64(features | 1<<40), nil},
		{"protocol features not offered", virtiotest.MsgSetProtocolFeatures, u64(1 << 20), nil},
		{"queue out of range", virtiotest.MsgSetVringNum, u32(2, 64), nil},
		{"enable queue out of range", virtiotest.MsgSetVringEnable, u32(1<<31, 1), nil},
		{"enable of 2", virtiotest.MsgSetVringEnable, u32(1, 2), nil},
		{"size 0", virtiotest.MsgSetVringNum, u32(1, 0), nil},
		{"size 48", virtiotest.MsgSetVringNum, u32(1, 48), nil},
		{"size over the device's", virtiotest.MsgSetVringNum, u32(1, 128), nil},
		{"size of 64 KiB", virtiotest.MsgSetVringNum, u32(1, 1<<16), nil},
		{"size while running", virtiotest.MsgSetVringNum, u32(0, 32), nil},
		{"base while running", virtiotest.MsgSetVringBase, u32(0, 3), nil},
		{"base over 16 bits", virtiotest.MsgSetVringBase, u32(1, 1<<16), nil},
		{"addresses while running", virtiotest.MsgSetVringAddr, append(u32(0, 0), u64(1, 2, 3, 0)...), nil},
		{"kick without descriptor", virtiotest.MsgSetVringKick, u64(1), nil},
		{"kick by polling", virtiotest.MsgSetVringKick, u64(1 | 1<<8), nil},
		{"kick that is a file", virtiotest.MsgSetVringKick, u64(1), []int{file}},
		{"kick of queue 255", virtiotest.MsgSetVringKick, u64(255), []int{virtiotest.FD(r.Kick)}},
		{"call that is a file", virtiotest.MsgSetVringCall, u64(1), []int{file}},
		{"memory without descriptor", virtiotest.MsgSetMemTable, virtiotest.MemTable(mem), nil},
		{"memory with two descriptors", virtiotest.MsgSetMemTable, virtiotest.MemTable(mem), []int{file, file}},
		{"memory of no region", virtiotest.MsgSetMemTable, u32(0, 0), nil},
		{"memory of 9 regions", virtiotest.MsgSetMemTable, u32(9, 0), nil},
		{"memory of 4 billion regions", virtiotest.MsgSetMemTable, u32(1<<32-1, 0), []int{file}},
		{"memory table cut", virtiotest.MsgSetMemTable, virtiotest.MemTable(mem)[:32], []int{file}},
		{"memory table of 4 bytes", virtiotest.MsgSetMemTable, u32(1), []int{file}},
		{"memory past the file", virtiotest.MsgSetMemTable, region(0, 1<<20+4096, 0, 0), []int{file}},
		{"memory offset past the file", virtiotest.MsgSetMemTable, region(0, 4096, 0, 1<<20), []int{file}},
		{"memory size and offset wrap", virtiotest.MsgSetMemTable, region(0, 1<<63, 0, 1<<63), []int{file}},
		{"memory wraps in the guest", virtiotest.MsgSetMemTable, region(1<<64-4096, 8192, 0, 0), []int{file}},
		{"memory wraps in the front end", virtiotest.MsgSetMemTable, region(0, 8192, 1<<64-4096, 0), []int{file}},
		{"memory of size 0", virtiotest.MsgSetMemTable, region(0, 0, 0, 0), []int{file}},
		{"memory unaligned", virtiotest.MsgSetMemTable, region(0, 4096, 0, 1), []int{file}},
		{"memory overlaps", virtiotest.MsgSetMemTable, two, []int{file, file}},
		{"memory that is an event", virtiotest.MsgSetMemTable, virtiotest.MemTable(mem), []int{virtiotest.FD(r.Kick)}},
		{"descriptors nobody asked for", 99, nil, []int{file, file, file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, front, c.request, c.payload, c.fds...)
			roundTrip(t, r, "the other ring runs on")
		})
	}
}

// Ring contents that are found out when the ring starts.
func TestRingsThatCannotStart(t *testing.T) {
	u32, u64 := virtiotest.U32, virtiotest.U64
	for name, breakIt := range map[string]func(*testing.T, *virtiotest.FrontEnd, *virtiotest.Ring){
		"addresses of nowhere": func(t *testing.T, f *virtiotest.FrontEnd, r *virtiotest.Ring) {
			do(t, f, virtiotest.MsgSetVringAddr, append(u32(0, 0), u64(16, 16, 16, 0)...))
		},
		"rings over the end": func(t *testing.T, f *virtiotest.FrontEnd, r *virtiotest.Ring) {
			at := uint64(virtiotest.UserBase) + 1<<20 - 16
			do(t, f, virtiotest.MsgSetVringAddr, append(u32(0, 0), u64(at, at, at, 0)...))
		},
		"no VERSION_1": func(t *testing.T, f *virtiotest.FrontEnd, r *virtiotest.Ring) {
			do(t, f, virtiotest.MsgSetFeatures, u64(1<<30))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dev := &device{}
			front, _ := serve(t, dev)
			mem := virtiotest.NewMemory(t, 1<<20)
			r := virtiotest.NewRing(t, mem, 64, features)
			front.Negotiate(features)
			front.SetMemory(mem)
			front.ConfigureRing(0, r, 0)
			breakIt(t, front, r)
			refused(t, front, virtiotest.MsgSetVringEnable, u32(0, 1))
			if active, _ := dev.state(); active != nil {
				t.Errorf("queues %v run", active)
			}
			// The front end may mend it.
			do(t, front, virtiotest.MsgSetFeatures, u64(features|1<<30))
			front.StartRing(0, r, 0)
			roundTrip(t, r, "mended")
		})
	}
}

// What breaks the framing, or is wrong without a wish for an answer, ends the session with an error.
func TestSessionsThatEnd(t *testing.T) {
	for name, send := range map[string]func(f *virtiotest.FrontEnd) error{
		"version 0": func(f *virtiotest.FrontEnd) error { return f.Send(1, 0, nil) },
		"version 2": func(f *virtiotest.FrontEnd) error { return f.Send(1, 2, nil) },
		"reply":     func(f *virtiotest.FrontEnd) error { return f.Send(1, 1|4, nil) },
		"payload of 4 GiB": func(f *virtiotest.FrontEnd) error {
			_, err := f.Conn.Write(virtiotest.U32(2, 1, 1<<32-1))
			return err
		},
		"unknown message": func(f *virtiotest.FrontEnd) error { return f.Send(77, 1, nil) },
		"bad queue":       func(f *virtiotest.FrontEnd) error { return f.Send(virtiotest.MsgGetVringBase, 1, virtiotest.U32(9, 0)) },
		"cut header": func(f *virtiotest.FrontEnd) error {
			_, err := f.Conn.Write(virtiotest.U32(1))
			return errors.Join(err, f.Conn.CloseWrite())
		},
		"cut payload": func(f *virtiotest.FrontEnd) error {
			_, err := f.Conn.Write(virtiotest.U32(2, 1, 8, 0))
			return errors.Join(err, f.Conn.CloseWrite())
		},
		"too many descriptors": func(f *virtiotest.FrontEnd) error {
			fds := make([]int, 30)
			return f.Send(1, 1, nil, fds...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			front, end := serve(t, &device{})
			if err := send(front); err != nil {
				t.Fatal(err)
			}
			// The back end hangs up by itself.
			for b := make([]byte, 64); ; {
				if _, err := front.Conn.Read(b); err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatal("the session goes on")
					}
					break
				}
			}
			if err := end(); err == nil {
				t.Error("Serve = nil")
			}
		})
	}
}

func TestBrokenRingSignalsError(t *testing.T) {
	front, _ := serve(t, &device{})
	mem := virtiotest.NewMemory(t, 1<<20)
	r := virtiotest.NewRing(t, mem, 64, features)
	front.Negotiate(features)
	front.SetMemory(mem)
	broken := virtiotest.NewEvent(t)
	do(t, front, virtiotest.MsgSetVringErr, virtiotest.U64(0), virtiotest.FD(broken))
	front.StartRing(0, r, 0)
	r.SetAvailIndex(65)
	r.Notify()
	if err := broken.Wait(); err != nil {
		t.Fatal(err)
	}
	// It can be stopped and begun anew.
	front.StopRing(0)
	again := virtiotest.NewRing(t, mem, 64, features)
	front.StartRing(0, again, 0)
	roundTrip(t, again, "anew")
}

// No message leaves descriptors or mappings behind.
func TestNothingIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	mem := virtiotest.NewMemory(t, 1<<20)
	r := virtiotest.NewRing(t, mem, 64, features)
	file := int(mem.File.Fd())
	before := -1
	for range 5 {
		front, end := serve(t, &device{})
		front.Negotiate(features)
		for range 3 {
			front.SetMemory(mem)
			front.StartRing(0, r, 0)
			do(t, front, virtiotest.MsgSetVringKick, virtiotest.U64(0), virtiotest.FD(r.Kick)) // while it runs
			front.StopRing(0)
		}
		_ = front.Do(99, nil, file, file, file)
		_ = front.Do(virtiotest.MsgSetMemTable, virtiotest.U32(9, 0), file, file)
		_ = front.Do(virtiotest.MsgSetVringKick, virtiotest.U64(7), virtiotest.FD(r.Kick))
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if before < 0 {
			before = count()
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
	var st unix.Stat_t
	if err := unix.Fstat(file, &st); err != nil {
		t.Errorf("the memory file was closed: %v", err)
	}
}
