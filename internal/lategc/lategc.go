// Package lategc puts off the first garbage collection of a process.
//
// Go collects first when the heap has 4 MiB, which every one of our programs reaches while it starts: the packages' tables alone
// are half of it. Most of them live for less than a second and end with a heap that nobody needed to clean. Past the given size, or
// after a minute, everything is as Go has it by default, so that a program that works for hours pays nothing, and one that was busy
// once gives its memory back.
package lategc

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// atMost is how long a delay lasts.
const atMost = time.Minute

// Until is a size for short commands and plugins: small for any machine, and out of reach for a short run.
const Until = 64 << 20

// delay is the one that is in force.
var delay struct {
	mu      sync.Mutex
	on      bool
	percent int // what Go has by default, or what the caller had set
	timer   *time.Timer
}

// Delay lets the process grow to so many bytes before it collects, for a minute. It is called once, at the beginning of main. Whoever
// sets GOGC or GOMEMLIMIT knows better, and is left alone.
func Delay(bytes int64) { delayFor(atMost, bytes) }

func delayFor(d time.Duration, bytes int64) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	delay.mu.Lock()
	defer delay.mu.Unlock()
	debug.SetMemoryLimit(bytes)
	delay.percent = debug.SetGCPercent(-1)
	delay.on = true
	delay.timer = time.AfterFunc(d, End)
	// The first collection finds the mark dead, and that ends the delay.
	mark := new([4]*byte) // with pointers, so that it shares no block with others
	runtime.AddCleanup(mark, func(struct{}) { End() }, struct{}{})
}

// End ends the delay, for a process that has started and is to stay small from now on. It collects nothing.
func End() {
	delay.mu.Lock()
	defer delay.mu.Unlock()
	if !delay.on {
		return
	}
	delay.on = false
	delay.timer.Stop()
	debug.SetGCPercent(delay.percent)
	debug.SetMemoryLimit(math.MaxInt64)
}
