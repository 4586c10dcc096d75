//go:build linux

package vhostuser_test

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// FuzzVhostUserMessage sends the fuzzer's bytes as messages: each is a byte that chooses descriptors, a header and as
// much as the header says. Serve must end, the device be reset and no descriptor be left.
func FuzzVhostUserMessage(f *testing.F) {
	mem := virtiotest.NewMemory(f, 1<<14)
	r := virtiotest.NewRing(f, mem, 64, features)
	descriptors := [][]int{nil, {int(mem.File.Fd())}, {virtiotest.FD(r.Kick)}, {virtiotest.FD(r.Call), int(mem.File.Fd())}}

	type msg struct {
		fds     byte
		request uint32
		payload []byte
	}
	encode := func(messages ...msg) (b []byte) {
		for _, m := range messages {
			b = append(b, m.fds)
			b = append(b, virtiotest.U32(m.request, 1, uint32(len(m.payload)))...)
			b = append(b, m.payload...)
		}
		return b
	}
	u32, u64 := virtiotest.U32, virtiotest.U64
	at := func(guest uint64) uint64 { return guest - virtiotest.Base + virtiotest.UserBase }
	start := []msg{
		{0, virtiotest.MsgSetFeatures, u64(features | 1<<30)},
		{1, virtiotest.MsgSetMemTable, virtiotest.MemTable(mem)},
		{0, virtiotest.MsgSetVringNum, u32(0, 64)},
		{0, virtiotest.MsgSetVringBase, u32(0, 0)},
		{0, virtiotest.MsgSetVringAddr, append(u32(0, 0), u64(at(r.Desc), at(r.Used), at(r.Avail), 0)...)},
		{2, virtiotest.MsgSetVringCall, u64(0)},
		{2, virtiotest.MsgSetVringKick, u64(0)},
		{0, virtiotest.MsgSetVringEnable, u32(0, 1)},
	}
	f.Add(encode(start...))
	f.Add(encode(append(start, msg{0, virtiotest.MsgGetVringBase, u32(0, 0)}, msg{0, virtiotest.MsgResetDevice, nil})...))
	f.Add(encode(append(start, start[1:]...)...))
	f.Add(encode(msg{0, virtiotest.MsgGetFeatures, nil}, msg{0, virtiotest.MsgGetConfig, append(u32(0, 4, 0), 0, 0, 0, 0)}))
	f.Add(encode(msg{3, virtiotest.MsgSetMemTable, append(u32(2, 0), u64(0, 4096, 0, 0, 4096, 4096, 4096, 0)...)}))

	f.Fuzz(func(t *testing.T, stream []byte) {
		clear(mem.Bytes)
		dev := &device{}
		before := openFiles(t)
		front, back := virtiotest.NewFrontEnd(t)
		served := make(chan error, 1)
		go func() { served <- vhostuser.Serve(context.Background(), back, dev) }()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, front.Conn)
		}()
		sendStream(front, stream, descriptors)
		_ = front.Conn.CloseWrite()
		<-served
		<-drained
		_ = front.Conn.Close()
		if active, resets := dev.state(); active != nil || resets == 0 {
			t.Errorf("queues %v run, %d resets", active, resets)
		}
		if after := openFiles(t); after != before {
			t.Errorf("%d descriptors, then %d", before, after)
		}
	})
}

// sendStream sends messages until the stream or the back end's patience ends.
func sendStream(front *virtiotest.FrontEnd, stream []byte, descriptors [][]int) {
	for len(stream) > 12 {
		var oob []byte
		if fds := descriptors[int(stream[0])%len(descriptors)]; fds != nil {
			oob = unix.UnixRights(fds...)
		}
		stream = stream[1:]
		n := 12 + int(min(binary.LittleEndian.Uint32(stream[8:]), 512))
		n = min(n, len(stream))
		if _, _, err := front.Conn.WriteMsgUnix(stream[:n], oob, nil); err != nil {
			return
		}
		stream = stream[n:]
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
