//go:build linux

package linkpeer

import (
	"encoding/binary"
	"sync"
	"syscall"

	"github.com/voidbox-run/voidbox/link"
)

// FileName is the file that the share has once the guest has created it.
const FileName = "file"

// Share is a FUSE server (version 7.31) of a directory with one file. The zero value is ready.
type Share struct {
	mu      sync.Mutex
	exists  bool
	data    []byte
	answers map[uint32]int
}

// Operations of FUSE, and those parts of its messages that the share reads and writes.
const (
	opLookup  = 1
	opForget  = 2
	opGetattr = 3
	opSetattr = 4
	opOpen    = 14
	opRead    = 15
	opWrite   = 16
	opRelease = 18
	opFsync   = 20
	opFlush   = 25
	opInit    = 26
	opCreate  = 35

	inHeader  = 40
	outHeader = 16
	attrSize  = 88
	openSize  = 16

	rootNode, fileNode = 1, 2

	flagBigWrites = 1 << 5
	flagMaxPages  = 1 << 22

	maxIO   = 1 << 20
	maxFile = 1 << 28
)

var le = binary.LittleEndian

// Serve answers on all lanes until the link goes down.
func (s *Share) Serve(l *link.Link) {
	serve(l, func(rec *link.Record, out *link.Writer) error {
		if len(rec.Payload) < inHeader {
			return link.ErrViolation
		}
		s.mu.Lock()
		body, errno := s.answer(rec.Payload)
		s.mu.Unlock()
		if rec.Kind == link.KindNotice {
			return nil
		}
		buf, err := reserve(out, link.KindReply, outHeader+len(body))
		if err != nil {
			return err
		}
		le.PutUint32(buf[0:], uint32(len(buf)))
		le.PutUint32(buf[4:], uint32(-int32(errno)))
		copy(buf[8:16], rec.Payload[8:16])
		copy(buf[outHeader:], body)
		out.CommitReply(rec.Tag, len(buf))
		return nil
	})
}

// Answers returns how many messages with an operation there were.
func (s *Share) Answers(op uint32) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers[op]
}

func (s *Share) answer(message []byte) (body []byte, errno syscall.Errno) {
	op, node, args := le.Uint32(message[4:]), le.Uint64(message[16:]), message[inHeader:]
	if s.answers == nil {
		s.answers = make(map[uint32]int)
	}
	s.answers[op]++
	switch op {
	case opInit:
		return initReply(args), 0
	case opLookup:
		if string(args) != FileName+"\x00" || !s.exists {
			return nil, syscall.ENOENT
		}
		return s.entry(), 0
	case opCreate:
		s.exists, s.data = true, nil
		return append(s.entry(), make([]byte, openSize)...), 0
	case opGetattr, opSetattr:
		return append(make([]byte, 16), s.attr(node)...), 0
	case opOpen:
		return make([]byte, openSize), 0
	case opRead:
		return s.read(args)
	case opWrite:
		return s.write(args)
	case opRelease, opFsync, opFlush, opForget:
		return nil, 0
	}
	return nil, syscall.ENOSYS
}

// initReply is struct fuse_init_out.
func initReply(args []byte) []byte {
	b := make([]byte, 64)
	le.PutUint32(b[0:], 7)
	le.PutUint32(b[4:], 31)
	le.PutUint32(b[8:], maxIO) // readahead
	if len(args) >= 16 {
		le.PutUint32(b[12:], le.Uint32(args[12:])&(flagBigWrites|flagMaxPages))
	}
	le.PutUint16(b[16:], 64) // background requests
	le.PutUint32(b[20:], maxIO)
	le.PutUint32(b[24:], 1)
	le.PutUint16(b[28:], maxIO/4096)
	return b
}

// entry is struct fuse_entry_out of the file.
func (s *Share) entry() []byte {
	b := make([]byte, 40, 40+attrSize)
	le.PutUint64(b, fileNode)
	return append(b, s.attr(fileNode)...)
}

// attr is struct fuse_attr.
func (s *Share) attr(node uint64) []byte {
	b := make([]byte, attrSize)
	mode, size := uint32(syscall.S_IFDIR|0o755), 0
	if node != rootNode {
		mode, size = syscall.S_IFREG|0o644, len(s.data)
	}
	le.PutUint64(b[0:], node)
	le.PutUint64(b[8:], uint64(size))
	le.PutUint64(b[16:], uint64(size+511)/512)
	le.PutUint32(b[60:], mode)
	le.PutUint32(b[64:], 1)
	le.PutUint32(b[80:], 4096)
	return b
}

func (s *Share) read(args []byte) ([]byte, syscall.Errno) {
	if len(args) < 20 {
		return nil, syscall.EINVAL
	}
	from := min(le.Uint64(args[8:]), uint64(len(s.data)))
	n := min(uint64(le.Uint32(args[16:])), uint64(len(s.data))-from, maxIO)
	return append([]byte(nil), s.data[from:from+n]...), 0
}

func (s *Share) write(args []byte) ([]byte, syscall.Errno) {
	if len(args) < 40 {
		return nil, syscall.EINVAL
	}
	at, data := le.Uint64(args[8:]), args[40:]
	if n := le.Uint32(args[16:]); uint64(n) != uint64(len(data)) || at > maxFile || at+uint64(n) > maxFile {
		return nil, syscall.EINVAL
	}
	if end := int(at) + len(data); end > len(s.data) {
		s.data = append(s.data, make([]byte, end-len(s.data))...)
	}
	copy(s.data[at:], data)
	return le.AppendUint64(nil, uint64(len(data))), 0
}
