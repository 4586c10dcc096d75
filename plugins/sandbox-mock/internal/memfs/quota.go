package memfs

import (
	"math"
	"sync/atomic"
	"syscall"
)

// standardFiles are the descriptors that every process has open: they count, and are no files of ours.
const standardFiles = 3

// Quota bounds what one process does with files, as setrlimit(2) has it. Zero bounds nothing.
type Quota struct {
	OpenFiles uint64        // RLIMIT_NOFILE
	FileBytes uint64        // RLIMIT_FSIZE: how far a write may reach
	Open      *atomic.Int64 // files that the process has open
}

// take counts a file that is being opened. A nil quota counts nothing.
func (q *Quota) take() error {
	if q == nil {
		return nil
	}
	if n := q.Open.Add(1); q.OpenFiles > 0 && uint64(n)+standardFiles > q.OpenFiles {
		q.Open.Add(-1)
		return syscall.EMFILE
	}
	return nil
}

func (q *Quota) giveBack() {
	if q != nil {
		q.Open.Add(-1)
	}
}

// reach is how far a write may go.
func (q *Quota) reach() int64 {
	if q == nil || q.FileBytes == 0 || q.FileBytes > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(q.FileBytes)
}
