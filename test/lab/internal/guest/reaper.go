package guest

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

// reaper collects the processes that have ended: the host's command, whose status somebody waits for, and orphans, which
// become PID 1's children. It is the only one here that waits for processes.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
}

func newReaper() *reaper {
	r := &reaper{waiting: map[int]chan syscall.WaitStatus{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		for range signals {
			r.collect()
		}
	}()
	return r
}

// start starts cmd and returns where its status will come.
func (r *reaper) start(cmd *exec.Cmd) (chan syscall.WaitStatus, error) {
	r.mu.Lock() // it may end before we know its number
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan syscall.WaitStatus, 1)
	r.waiting[cmd.Process.Pid] = ended
	return ended, nil
}

// collect takes all that have ended: signals that come at once are one.
func (r *reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ended, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			ended <- status
		}
	}
}
