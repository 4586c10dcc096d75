package canary

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Process is one that is looked at.
type Process struct {
	PID  int
	Args []string
}

// Name is its program, without the directory.
func (p Process) Name() string {
	if len(p.Args) == 0 {
		return "?"
	}
	return p.Args[0][strings.LastIndexByte(p.Args[0], '/')+1:]
}

// Below returns the processes that a process has started, and those that they have, and so on.
func Below(pid int) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(child); ok {
			children[parent] = append(children[parent], child)
		}
	}
	var found []Process
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", queue[0]))
		if err == nil && len(line) > 0 { // else a zombie
			found = append(found, Process{queue[0], strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")})
		}
		queue = append(queue, children[queue[0]]...)
	}
	return found, nil
}

// parentOf reads the fourth field of /proc/PID/stat (proc_pid_stat(5)); the second, in parentheses, may hold anything.
func parentOf(pid int) (int, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// Find says where a process has the secret: nowhere is "". How many bytes of memory it looked at tells whether it looked at all.
func (p Process) Find(secret string) (where string, looked int64, err error) {
	for _, file := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID, file))
		if err != nil {
			return "", 0, err
		}
		if bytes.Contains(text, []byte(secret)) {
			return file, 0, nil
		}
	}
	return p.inMemory([]byte(secret))
}

// region is a mapping, and the name that it has in /proc/PID/maps.
type region struct {
	start, end uint64
	name       string
}

func (p Process) inMemory(secret []byte) (where string, looked int64, err error) {
	maps, err := p.regions()
	if err != nil {
		return "", 0, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.PID))
	if err != nil {
		return "", 0, err
	}
	defer mem.Close()
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", p.PID))
	if err != nil {
		return "", 0, err
	}
	defer pages.Close()
	for _, r := range maps {
		found, n, err := search(mem, pages, r, secret)
		looked += n
		if err != nil {
			return "", looked, fmt.Errorf("memory of %s (%d) at %#x: %w", p.Name(), p.PID, r.start, err)
		}
		if found {
			return "memory, " + strings.TrimSpace(fmt.Sprintf("%#x %s", r.start, r.name)), looked, nil
		}
	}
	return "", looked, nil
}

// regions reads /proc/PID/maps, without what the kernel maps of its own and lets nobody read.
func (p Process) regions() ([]region, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", p.PID))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []region
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r region
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &r.start, &r.end, &mode); err != nil {
			return nil, fmt.Errorf("maps: %q: %w", lines.Text(), err)
		}
		if fields := strings.Fields(lines.Text()); len(fields) > 5 {
			r.name = fields[5]
		}
		if r.name != "[vvar]" && r.name != "[vsyscall]" && r.name != "[vvar_vclock]" {
			list = append(list, r)
		}
	}
	return list, lines.Err()
}

const (
	chunkPages = 1024
	// present and swapped are bits of an entry of pagemap (proc_pid_pagemap(5)).
	present = 1<<63 | 1<<62
)

// search looks through the pages of a region that are there. What may be the beginning of the secret at the end of a page waits for
// the next.
func search(mem, pages *os.File, r region, secret []byte) (found bool, looked int64, err error) {
	page := uint64(os.Getpagesize())
	entries := make([]byte, 8*chunkPages)
	buf := make([]byte, page)
	var tail []byte
	for at := r.start; at < r.end; {
		n, err := pages.ReadAt(entries[:8*min(chunkPages, (r.end-at)/page)], int64(at/page*8))
		if n < 8 {
			return false, looked, fmt.Errorf("pagemap: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		for e := 0; e+8 <= n; e, at = e+8, at+page {
			if binary.NativeEndian.Uint64(entries[e:])&present == 0 {
				tail = tail[:0]
				continue
			}
			if _, err := mem.ReadAt(buf, int64(at)); err != nil {
				if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EFAULT) {
					tail = tail[:0] // a device's memory, a guard page, or one that has gone since
					continue
				}
				return false, looked, err
			}
			looked += int64(page)
			tail = append(tail, buf...)
			if bytes.Contains(tail, secret) {
				return true, looked, nil
			}
			tail = append(tail[:0], tail[len(tail)-min(len(secret)-1, len(tail)):]...)
		}
	}
	return false, looked, nil
}
