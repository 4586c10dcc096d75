package kvm

import (
	"encoding/binary"
	"testing"
)

// FuzzRunPage reads all details of an exit, whatever stands in the page.
func FuzzRunPage(f *testing.F) {
	page := make([]byte, 64)
	binary.LittleEndian.PutUint32(page[runExitReason:], uint32(ExitIO))
	page[ioSize] = 4
	binary.LittleEndian.PutUint32(page[ioCount:], 3)
	binary.LittleEndian.PutUint64(page[ioDataOffset:], 4096)
	f.Add(page)
	f.Fuzz(func(t *testing.T, head []byte) {
		shared := make([]byte, 8192)
		copy(shared, head)
		p, err := NewRunPage(shared)
		if err != nil {
			t.Fatal(err)
		}
		if io, err := p.IO(); err == nil && (io.Size == 0 || len(io.Data)%io.Size != 0 || len(io.Data) > len(shared)) {
			t.Errorf("%+v", io)
		}
		if m, err := p.MMIO(); err == nil && (len(m.Data) == 0 || len(m.Data) > 8) {
			t.Errorf("%+v", m)
		}
		if _, data := p.InternalError(); len(data) > maxInternal {
			t.Errorf("%d words of data", len(data))
		}
		_, _ = p.FailEntry()
		_, _ = p.MemoryFault()
		_ = p.ExitReason().String()
		_, _ = p.SystemEvent(), p.HardwareExitReason()
	})
}

func TestRunPageIsNotTooSmall(t *testing.T) {
	for _, n := range []int{0, 1, runMinimum - 1} {
		if _, err := NewRunPage(make([]byte, n)); err == nil {
			t.Errorf("accepted %d bytes", n)
		}
	}
	aligned, memory := 0, make([]byte, runMinimum+3)
	for at := range 4 {
		if _, err := NewRunPage(memory[at:]); err == nil {
			aligned++
		}
	}
	if aligned != 1 {
		t.Errorf("%d of four adjacent addresses are aligned", aligned)
	}
}

func TestExitReasonNames(t *testing.T) {
	for r, want := range map[ExitReason]string{ExitMMIO: "mmio", ExitIO: "io", ExitSystemEvent: "system_event", 99: "exit_99"} {
		if got := r.String(); got != want {
			t.Errorf("%d is called %q, want %q", r, got, want)
		}
	}
}
