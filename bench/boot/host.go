package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/internal/kvmhost"
)

func kvmUsable() bool { return kvmhost.Local().Check() == nil }

// commandLine is the one that a sandbox gets; the clock's frequency is taken from the CPU's description.
func commandLine() string {
	line := "console=ttyS0 quiet panic=-1"
	if kvmUsable() {
		return line
	}
	return line + fmt.Sprintf(" no_timer_check tsc_early_khz=%d", cpuKHz())
}

func cpuKHz() int {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for text := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(text, ":")
		if ok && strings.TrimSpace(name) == "cpu MHz" {
			mhz, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int(mhz * 1000)
		}
	}
	return 0
}
