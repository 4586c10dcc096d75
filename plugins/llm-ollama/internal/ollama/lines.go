package ollama

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// lines reads a stream of JSON documents, one a line, of a server that is not trusted.
type lines struct {
	in   *bufio.Scanner
	size int
}

func newLines(from io.Reader) *lines {
	in := bufio.NewScanner(from)
	in.Buffer(make([]byte, 0, 16<<10), llm.MaxTurnBytes)
	in.Split(wholeLines)
	return &lines{in: in}
}

// wholeLines hands over lines that have ended, and a last one without its end if it is a whole document, not one that was cut.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && json.Valid(data) {
		return len(data), data, bufio.ErrFinalToken
	}
	return 0, nil, nil
}

// next returns the next line that is not empty.
func (l *lines) next() ([]byte, error) {
	for l.in.Scan() {
		if l.size += len(l.in.Bytes()); l.size > 4*llm.MaxTurnBytes {
			return nil, errdef.New(errdef.ErrDataLoss, "Ollama sends an answer that does not end")
		}
		if line := bytes.TrimSpace(l.in.Bytes()); len(line) > 0 {
			return line, nil
		}
	}
	if err := l.in.Err(); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF // whoever reads stops at the line that says that it is the last
}

// broken is the end of a stream before its last line.
func broken(err error) error {
	var known *errdef.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, bufio.ErrTooLong):
		return errdef.New(errdef.ErrDataLoss, "Ollama sends a line of more than %d bytes", llm.MaxTurnBytes)
	}
	return &modelhttp.Transient{Err: fmt.Errorf("the answer of Ollama breaks off: %w", err)}
}
