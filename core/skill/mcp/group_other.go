//go:build unix && !linux

package mcp

import "syscall"

func procAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// wait waits for the leader and kills its group. The leader is reaped by then: nothing here lets one wait without that.
func (g *group) wait() error {
	defer g.leave()
	return g.cmd.Wait()
}
