package sandbox

import (
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// tailBytes is how much of the console is kept for errors.
const tailBytes = 16 << 10

// consoleTail keeps the end of what a guest writes.
type consoleTail struct {
	mu   sync.Mutex
	data []byte
}

func (t *consoleTail) add(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p[max(0, len(p)-tailBytes):]...)
	if extra := len(t.data) - tailBytes; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
}

// lines returns the last n lines, as a terminal can show them without harm: the guest wrote them.
func (t *consoleTail) lines(n int) string {
	t.mu.Lock()
	text := string(t.data)
	t.mu.Unlock()
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, "?"))
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// stage returns the last stage that the agent named on the console: all that is known of a guest without a socket device.
func (t *consoleTail) stage() Stage {
	reached := StageKernel
	for line := range strings.SplitSeq(t.lines(1000), "\n") {
		if s, ok := boot.ConsoleStage(line); ok && s != boot.StageFailed {
			reached = agentStage(s)
		}
	}
	return reached
}
