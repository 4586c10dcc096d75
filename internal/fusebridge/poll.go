//go:build linux

package fusebridge

import (
	"encoding/binary"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Opening a file makes Go's runtime ask epoll about it, by a call during which it cannot stop the world. On FUSE that is a message to
// the server. Where client and server are one process, as in a test, they would wait for each other as soon as the collector
// runs. A kernel that was told once that there is no polling asks no more, so it is told at the start, in a call that may wait:
// the bridge itself makes up a file for it.
const (
	pollName = ".poll of the bridge"
	pollNode = 1 << 62

	opLookup  = 1
	opOpen    = 14
	opRelease = 18
	opFlush   = 25
	opPoll    = 40

	rootNode  = 1
	headerIn  = 40
	headerOut = 16
)

// pollHack makes the kernel learn it.
func (b *Bridge) pollHack() error {
	b.hack.Store(true)
	defer b.hack.Store(false)
	fd, err := unix.Open(filepath.Join(b.dir, pollName), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	_ = unix.Close(fd)
	return err
}

// hackAnswer answers a message about the made-up file; false if it is about another.
func hackAnswer(on *atomic.Bool, message []byte) (answer []byte, ours bool) {
	op, node := binary.LittleEndian.Uint32(message[4:]), binary.LittleEndian.Uint64(message[16:])
	errno, body := unix.ENOSYS, []byte(nil)
	switch {
	case node == pollNode && (op == opForget || op == opBatchForget || op == opInterrupt):
		return nil, true
	case node == pollNode && op == opOpen:
		errno, body = 0, make([]byte, 16)
	case node == pollNode && (op == opRelease || op == opFlush):
		errno = 0
	case node == pollNode:
	case on.Load() && op == opLookup && node == rootNode && string(message[headerIn:]) == pollName+"\x00":
		errno, body = 0, make([]byte, 128)
		binary.LittleEndian.PutUint64(body, pollNode)
		binary.LittleEndian.PutUint64(body[24:], 60)                    // seconds for which the attributes hold
		binary.LittleEndian.PutUint32(body[40+60:], unix.S_IFREG|0o444) // fuse_entry_out.attr.mode
	default:
		return nil, false
	}
	answer = make([]byte, headerOut, headerOut+len(body))
	binary.LittleEndian.PutUint32(answer, uint32(headerOut+len(body)))
	binary.LittleEndian.PutUint32(answer[4:], -uint32(errno))
	copy(answer[8:16], message[8:16])
	return append(answer, body...), true
}
