package modelserver

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"strings"
)

// Fault is a way to misbehave.
type Fault struct {
	// Status answers with an error in the protocol's own shape. RetryAfter is the header of that name.
	Status     int    `json:"status,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`
	// Body is sent in place of the error, with Status, or with 200 if there is none.
	Body   string      `json:"body,omitempty"`
	Header http.Header `json:"header,omitempty"`
	// Hang sends nothing until the client goes. HangAfter and CutAfter do so, or break the connection, after so many bytes of the
	// answer, of which there are at least one.
	Hang      bool `json:"hang,omitempty"`
	HangAfter int  `json:"hang_after,omitempty"`
	CutAfter  int  `json:"cut_after,omitempty"`
	// Piece sends the answer in pieces of so many bytes.
	Piece int `json:"piece,omitempty"`
	// EOL ends the lines of server-sent events in place of \n, and Comments puts comments and unknown events between them.
	EOL      string `json:"eol,omitempty"`
	Comments bool   `json:"comments,omitempty"`
	// Error sends, as the first event, the error that the protocol knows for a provider that is overloaded.
	Error bool `json:"error,omitempty"`
	// InvalidUTF8 puts a byte that is none into the text.
	InvalidUTF8 bool `json:"invalid_utf8,omitempty"`
}

// Fail has the next requests for a turn misbehave, one fault each; nil means an ordinary answer.
func (s *Server) Fail(faults ...*Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// FailAlways has every request for a turn misbehave, once the faults of Fail are used up. Nil ends it.
func (s *Server) FailAlways(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.every = f
}

// fault of the request at hand: that of the rule, else the next in line.
func (s *Server) fault(own *Fault) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.every
	switch {
	case len(s.faults) > 0:
		f, s.faults = s.faults[0], s.faults[1:]
	case own != nil:
		f = own
	}
	if f == nil {
		return Fault{}
	}
	return *f
}

// Marks of a text that must be in the wire format as they are.
const invalidMark = "\U000F0000" // a private character, replaced by a byte that is not UTF-8

// spoil marks the text of a turn.
func (f Fault) spoil(text string) string {
	if f.InvalidUTF8 {
		return text + invalidMark
	}
	return text
}

// refuses answers without a turn, if that is the fault. shape makes the protocol's error.
func (f Fault) refuses(w http.ResponseWriter, r *http.Request, shape func(status int, message string) any) bool {
	for name, values := range f.Header {
		w.Header()[name] = values
	}
	if f.Hang {
		wait(r.Context())
		return true
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	switch {
	case f.Body != "":
		w.WriteHeader(cmp.Or(f.Status, http.StatusOK))
		w.Write([]byte(f.Body))
	case f.Status != 0:
		refuse(w, f.Status, shape(f.Status, strings.ToLower(http.StatusText(f.Status))))
	default:
		return false
	}
	return true
}

// wait returns when the client has gone.
func wait(ctx context.Context) { <-ctx.Done() }

// stream sends an answer piece by piece, each at once.
func (f Fault) stream(w http.ResponseWriter, r *http.Request, contentType string, frames [][]byte) {
	w.Header().Set("Content-Type", contentType)
	flush := http.NewResponseController(w)
	sent := 0
	write := func(p []byte) bool {
		for _, limit := range []int{f.CutAfter, f.HangAfter} {
			if limit > 0 && sent+len(p) > limit {
				w.Write(p[:max(limit-sent, 0)])
				flush.Flush()
				if limit == f.CutAfter {
					panic(http.ErrAbortHandler)
				}
				wait(r.Context())
				return false
			}
		}
		n, err := w.Write(p)
		sent += n
		return err == nil && flush.Flush() == nil
	}
	for _, frame := range frames {
		frame = bytes.ReplaceAll(frame, []byte(invalidMark), []byte{0xff})
		if f.EOL != "" {
			frame = bytes.ReplaceAll(frame, []byte("\n"), []byte(f.EOL))
		}
		for len(frame) > 0 {
			n := len(frame)
			if f.Piece > 0 {
				n = min(n, f.Piece)
			}
			if !write(frame[:n]) {
				return
			}
			frame = frame[n:]
		}
	}
}

// pieces cuts a text as models do: a few characters at a time.
func pieces(text string) []string {
	var out []string
	runes := []rune(text)
	size := max(5, len(runes)/1000)
	for len(runes) > 0 {
		n := min(size, len(runes))
		out = append(out, string(runes[:n]))
		runes = runes[n:]
	}
	return out
}
