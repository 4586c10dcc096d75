package agent

import (
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/core/event"
)

func clean(s string) string { return event.Clean(s) }

// prefix returns at most n bytes of the beginning of s, and suffix of its end; neither cuts a rune.
func prefix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func suffix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := len(s) - n
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return s[i:]
}

// quote returns the beginning of s for an error message.
func quote(s string) string {
	const most = 200
	if short := prefix(clean(s), most); len(short) < len(s) {
		return fmt.Sprintf("%q...", short)
	}
	return fmt.Sprintf("%q", s)
}

// headTail keeps the head and the tail of what is written to it, within a limit. Safe for concurrent use, since a command's
// two streams end in one.
type headTail struct {
	mu    sync.Mutex
	half  int
	head  []byte
	tail  []byte // ring once full
	next  int    // where the ring goes on
	total int64
}

func newHeadTail(limit int) *headTail { return &headTail{half: max(limit/2, utf8.UTFMax)} }

// Write never fails.
func (h *headTail) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(p)
	h.total += int64(n)
	room := min(h.half-len(h.head), len(p))
	h.head, p = append(h.head, p[:room]...), p[room:]
	if len(p) > h.half {
		p = p[len(p)-h.half:]
	}
	for len(p) > 0 {
		if len(h.tail) < h.half {
			room := min(h.half-len(h.tail), len(p))
			h.tail, p = append(h.tail, p[:room]...), p[room:]
			continue
		}
		copied := copy(h.tail[h.next:], p)
		h.next, p = (h.next+copied)%h.half, p[copied:]
	}
	return n, nil
}

// String returns clean text with a note where bytes are missing.
func (h *headTail) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	tail := append(append([]byte(nil), h.tail[h.next:]...), h.tail[:h.next]...)
	missing := h.total - int64(len(h.head)) - int64(len(tail))
	if missing == 0 {
		return join(clean(string(h.head)+string(tail)), "", 0, h.half)
	}
	head := h.head
	for i := 1; i <= utf8.UTFMax && i <= len(head); i++ {
		if last := head[len(head)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				head, missing = head[:len(head)-i], missing+int64(i)
			}
			break
		}
	}
	for i := 0; i < utf8.UTFMax-1 && len(tail) > 0 && !utf8.RuneStart(tail[0]); i++ {
		tail, missing = tail[1:], missing+1
	}
	return join(clean(string(head)), clean(string(tail)), missing, h.half)
}

// join puts the two ends together. Cleaning may have made them longer, since a bad byte becomes a rune of three.
func join(head, tail string, missing int64, half int) string {
	if missing == 0 && tail == "" {
		if len(head) <= 2*half {
			return head
		}
		head, tail = prefix(head, len(head)-half), suffix(head, half)
		missing = 0
	}
	kept := prefix(head, half)
	missing += int64(len(head) - len(kept))
	end := suffix(tail, half)
	missing += int64(len(tail) - len(end))
	return fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", kept, missing, end)
}
