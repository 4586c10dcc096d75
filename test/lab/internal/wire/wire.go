// Package wire is how the host and PID 1 of the lab speak: frames on one byte stream, a virtio-serial port. A frame is its
// kind (1 byte), the length of what follows (4 bytes, little endian), and that many bytes.
//
// The host sends Start, then Input, Resize and Signal for the command that runs; the guest answers with Output and Errors,
// and with Exit when both streams are at their end. One command runs at a time. Fetch asks for a file between commands.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Kind says what a frame holds.
type Kind byte

// From the host.
const (
	Start  Kind = iota + 1 // a Command, as JSON
	Input                  // bytes for the command's standard input; none ends it
	Resize                 // a Size, as JSON
	Signal                 // one byte: the number of a signal for the command
	Fetch                  // the path of a file; answered by Chunk frames and Done
)

// From the guest.
const (
	Ready  Kind = iota + 65 // PID 1 serves commands; a Hello, as JSON
	Alive                   // once a second: the guest is not stuck
	Output                  // bytes of the command's standard output
	Errors                  // bytes of its standard error
	Exit                    // a Status, as JSON
	Chunk                   // bytes of the file
	Done                    // the end of the file: why it could not be read, or nothing
)

// Command is what the guest is to run.
type Command struct {
	Args     []string
	Env      []string // added to the lab's own
	Dir      string
	Terminal bool // on a pseudo-terminal: one stream, Output
	Size     Size
}

// Size is a terminal's.
type Size struct{ Rows, Columns uint16 }

// Hello is what the guest says of itself.
type Hello struct {
	Kernel string
	Uptime float64 // seconds since the kernel started
}

// Status is how a command ended.
type Status struct {
	Code   int    // exit status
	Signal int    // the signal that killed it, or 0
	Error  string // why it could not be started, or ""
}

// MaxFrame bounds the bytes of a frame.
const MaxFrame = 1 << 20

// Chunks are cut to ChunkSize.
const ChunkSize = 64 << 10

// Writer writes frames. Any number of goroutines may use it.
type Writer struct {
	mu  sync.Mutex
	out io.Writer
	buf []byte
}

// NewWriter returns a Writer on out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write puts out one frame.
func (w *Writer) Write(kind Kind, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf[:0], byte(kind))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(body)))
	w.buf = append(w.buf, body...)
	_, err := w.out.Write(w.buf)
	return err
}

// WriteJSON puts out one frame that holds v.
func (w *Writer) WriteJSON(kind Kind, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Write(kind, body)
}

// Stream returns an io.Writer whose bytes become frames of the given kind.
func (w *Writer) Stream(kind Kind) io.Writer { return stream{w, kind} }

type stream struct {
	w    *Writer
	kind Kind
}

func (s stream) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, ChunkSize)
		if err := s.w.Write(s.kind, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// Read returns the next frame. A stream that ends between two frames is io.EOF.
func Read(in io.Reader) (Kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.LittleEndian.Uint32(head[1:])
	if size > MaxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes, at most %d are allowed", size, MaxFrame)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, fmt.Errorf("frame of kind %d: %w", head[0], err)
	}
	return Kind(head[0]), body, nil
}
