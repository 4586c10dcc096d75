package sniff

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// firstRequest reads the name from the head of the request at the beginning of a stream.
func firstRequest(b []byte) (string, error) {
	var name string
	errFound := errors.New("found")
	s := requests{host: func(host string) error {
		name = host
		return errFound
	}}
	switch err := s.write(b[:min(len(b), MaxBytes)]); {
	case errors.Is(err, errFound):
		return name, nil
	case err != nil:
		return "", err
	}
	return "", errIncomplete
}

// requests follows the requests of a connection and tells the host of each, before the bytes that end its head have passed.
type requests struct {
	host func(name string) error

	step   func(*requests, []byte) (int, error) // what the next bytes are; nil for the line of a request
	line   []byte                               // what is there of the current line
	size   int                                  // of the head so far
	left   uint64                               // bytes of the body, or of the chunk
	head   head
	inBody bool // the current head is a trailer
}

// head is what matters of the head of a request.
type head struct {
	authority  string // of an absolute target
	host       string
	hosts      int
	length     uint64
	lengths    int
	chunked    bool
	oldVersion bool // HTTP/1.0
}

var errHTTP = errors.New("ambiguous or malformed HTTP request")

func ambiguous(what string) error { return fmt.Errorf("%w: %s", errHTTP, what) }

// write takes the next bytes of the stream.
func (s *requests) write(b []byte) error {
	if s.step == nil {
		s.step = (*requests).requestLine
	}
	for len(b) > 0 {
		n, err := s.step(s, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// takeLine collects a line and returns its text once it is whole, nil before.
func (s *requests) takeLine(b []byte) (line []byte, n int, err error) {
	n = bytes.IndexByte(b, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(b)
	}
	if s.size += n; s.size > MaxBytes {
		return nil, 0, ambiguous("a head of more than 16 KiB")
	}
	s.line = append(s.line, b[:n]...)
	if !whole {
		return nil, n, nil
	}
	line, ok := bytes.CutSuffix(s.line, []byte("\r\n"))
	if !ok || bytes.ContainsAny(line, "\r\x00") {
		return nil, 0, ambiguous("a line that does not end in CR LF")
	}
	s.line = s.line[:0]
	return line, n, nil
}

// requestLine reads METHOD target HTTP/1.x. Empty lines before it are allowed (RFC 9112, section 2.2).
func (s *requests) requestLine(b []byte) (int, error) {
	line, n, err := s.takeLine(b)
	if err != nil || line == nil {
		return n, err
	}
	if len(line) == 0 {
		s.size = 0
		return n, nil
	}
	s.head = head{}
	method, rest, _ := strings.Cut(string(line), " ")
	target, version, _ := strings.Cut(rest, " ")
	switch {
	case !isTokens(method) || target == "" || hasControl(target):
		return 0, ambiguous("its first line")
	case version != "HTTP/1.1" && version != "HTTP/1.0":
		return 0, errors.New("not HTTP/1")
	case method == "CONNECT":
		return 0, errors.New("a tunnel by CONNECT")
	}
	s.head.oldVersion = version == "HTTP/1.0"
	if s.head.authority, err = authority(target); err != nil {
		return 0, err
	}
	s.step = (*requests).header
	return n, nil
}

// authority returns the host and port of an absolute target, empty for those that have none.
func authority(target string) (string, error) {
	if target[0] == '/' || target == "*" {
		return "", nil
	}
	scheme, rest, ok := strings.Cut(target, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") || end == 0 {
		return "", ambiguous("its target")
	}
	return rest[:end], nil
}

// header reads a line of the head.
func (s *requests) header(b []byte) (int, error) {
	line, n, err := s.takeLine(b)
	if err != nil || line == nil {
		return n, err
	}
	if len(line) == 0 {
		return n, s.endHead()
	}
	name, value, ok := strings.Cut(string(line), ":")
	if !ok || !isTokens(name) || hasControl(value) {
		return 0, ambiguous("a header line")
	}
	if s.inBody {
		return n, nil // a trailer says nothing that counts
	}
	return n, s.head.field(strings.ToLower(name), strings.Trim(value, " \t"))
}

func (h *head) field(name, value string) error {
	switch name {
	case "host":
		h.host = value
		h.hosts++
	case "content-length":
		h.lengths++
		for _, c := range []byte(value) {
			if c < '0' || c > '9' {
				return ambiguous("its length")
			}
			h.length = h.length*10 + uint64(c-'0')
		}
		if value == "" || len(value) > 18 {
			return ambiguous("its length")
		}
	case "transfer-encoding":
		if h.chunked || !strings.EqualFold(value, "chunked") {
			return ambiguous("its transfer encoding")
		}
		h.chunked = true
	case "upgrade":
		return errors.New("an upgrade to another protocol")
	}
	return nil
}

// endHead tells of the host and finds how the body ends (RFC 9112, section 6.3).
func (s *requests) endHead() error {
	s.size = 0
	s.step = (*requests).requestLine
	if s.inBody {
		s.inBody = false
		return nil
	}
	h := s.head
	switch {
	case h.hosts == 0:
		return errNoName
	case h.hosts > 1:
		return ambiguous("several hosts")
	case h.authority != "" && !strings.EqualFold(h.authority, h.host):
		return ambiguous("a target for another host")
	case h.lengths > 1 || h.lengths > 0 && h.chunked || h.chunked && h.oldVersion:
		return ambiguous("several lengths")
	}
	name, err := hostOf(h.host)
	if err != nil {
		return err
	}
	if err := s.host(name); err != nil {
		return err
	}
	switch {
	case h.chunked:
		s.step = (*requests).chunkSize
	case h.length > 0:
		s.left, s.step = h.length, (*requests).body
	}
	return nil
}

// hostOf returns the name of a host with, perhaps, a port.
func hostOf(host string) (string, error) {
	name, port, _ := strings.Cut(host, ":")
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return "", ambiguous("its host")
		}
	}
	return canonical(name)
}

func (s *requests) body(b []byte) (int, error) {
	n := s.skip(b)
	if s.left == 0 {
		s.step = (*requests).requestLine
	}
	return n, nil
}

func (s *requests) skip(b []byte) int {
	n := len(b)
	if uint64(n) > s.left {
		n = int(s.left)
	}
	s.left -= uint64(n)
	return n
}

// chunkSize reads the line before a chunk (RFC 9112, section 7.1).
func (s *requests) chunkSize(b []byte) (int, error) {
	line, n, err := s.takeLine(b)
	if err != nil || line == nil {
		return n, err
	}
	s.size = 0
	digits, extension, _ := strings.Cut(string(line), ";")
	if digits == "" || len(digits) > 15 || hasControl(extension) {
		return 0, ambiguous("the size of a chunk")
	}
	s.left = 0
	for _, c := range []byte(digits) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 || c < '0' {
			return 0, ambiguous("the size of a chunk")
		}
		s.left = s.left<<4 | uint64(d)
	}
	s.step = (*requests).chunk
	if s.left == 0 {
		s.inBody, s.step = true, (*requests).header
	}
	return n, nil
}

func (s *requests) chunk(b []byte) (int, error) {
	n := s.skip(b)
	if s.left == 0 {
		s.step = (*requests).chunkEnd
	}
	return n, nil
}

func (s *requests) chunkEnd(b []byte) (int, error) {
	line, n, err := s.takeLine(b)
	if err != nil || line == nil {
		return n, err
	}
	s.size = 0
	if len(line) > 0 {
		return 0, ambiguous("the end of a chunk")
	}
	s.step = (*requests).chunkSize
	return n, nil
}

// isToken tells whether a byte may stand in a method or the name of a header (RFC 9110, section 5.6.2).
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isTokens(s string) bool {
	for _, c := range []byte(s) {
		if !isToken(c) {
			return false
		}
	}
	return s != ""
}

// hasControl tells whether a text has control characters other than tabs.
func hasControl(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}
