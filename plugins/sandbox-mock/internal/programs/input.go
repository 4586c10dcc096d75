package programs

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

// reader is an input, which ends the program when its process was killed.
type reader struct {
	p *Proc
	r io.Reader
}

// read reads. A pipe makes one wait, a file does not.
func (r reader) read(b []byte) (int, error) {
	if _, ok := r.r.(*memfs.File); !ok {
		defer r.p.Sys.Wait(r.p)()
	}
	return r.r.Read(b)
}

func (r reader) Read(b []byte) (int, error) {
	r.p.check()
	n, err := r.read(b)
	if err != nil {
		r.p.check()
	}
	return n, err
}

func (p *Proc) in() io.Reader {
	if p.Stdin == nil {
		return strings.NewReader("")
	}
	return reader{p, p.Stdin}
}

// open opens a file for reading; "-" is standard input.
func (p *Proc) open(name string) (io.ReadCloser, error) {
	if name == "-" || name == "/dev/stdin" {
		return io.NopCloser(p.in()), nil
	}
	if name == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	f, err := p.FS.Open(p.User, p.abs(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, named(err, name)
	}
	if f.Stat().Mode.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return struct {
		io.Reader
		io.Closer
	}{reader{p, f}, f}, nil
}

// eachInput calls use for every named file, or for standard input when none is named. It returns 1 when one could not be read.
func (p *Proc) eachInput(names []string, use func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	status := 0
	for _, name := range names {
		if err := p.useInput(name, use); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func (p *Proc) useInput(name string, use func(name string, r io.Reader) error) error {
	f, err := p.open(name)
	if err != nil {
		return err
	}
	defer f.Close() // use may leave the program, see end
	return use(name, f)
}

// readLines returns the lines of the inputs, without their ends.
func (p *Proc) readLines(names []string) ([]string, int) {
	var lines []string
	room := p.Limits.Memory()
	status := p.eachInput(names, func(_ string, r io.Reader) error {
		full := false
		err := p.scan(r, func(line string) bool {
			cost := uint64(len(line)) + lineOverhead
			if full = cost > room; full {
				return false
			}
			room -= cost
			lines = append(lines, line)
			return true
		})
		if full {
			return syscall.ENOMEM
		}
		return err
	})
	return lines, status
}

// lineOverhead is what a line costs beside its bytes.
const lineOverhead = 16

// scan calls use for every line until it returns false.
func (p *Proc) scan(r io.Reader, use func(line string) bool) error {
	b := bufio.NewReaderSize(r, 32<<10)
	for {
		line, err := readLine(b, p.Limits.Memory())
		if line != "" || err == nil {
			if !use(strings.TrimSuffix(line, "\n")) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads up to a newline, which it keeps. A line beyond the limit is ENOMEM.
func readLine(b *bufio.Reader, limit uint64) (string, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		if uint64(len(line)+len(part)) > limit {
			return "", syscall.ENOMEM
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return string(line), err
		}
	}
}
