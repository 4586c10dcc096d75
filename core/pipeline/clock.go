package pipeline

import "time"

// Clock tells when time is over.
type Clock interface {
	// AfterFunc calls f once after d, from another goroutine, unless stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type wallClock struct{}

func (wallClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
