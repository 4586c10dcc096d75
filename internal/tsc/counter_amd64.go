package tsc

const supported = true

// counter reads the time-stamp counter (RDTSC), not before earlier loads have finished.
func counter() uint64
