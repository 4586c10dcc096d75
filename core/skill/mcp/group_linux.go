package mcp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// procAttr makes the program die with us, should we be killed before we can end it. It would die with the thread that starts it,
// too; threads of the Go runtime end with the goroutine that is locked to them only, and nobody here locks one.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
}

// wait waits for the leader, and kills its group before it is reaped: until then the group's number is nobody else's.
func (g *group) wait() error {
	for unix.Waitid(unix.P_PID, g.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	g.leave()
	return g.cmd.Wait()
}
