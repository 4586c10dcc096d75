//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

const (
	peerName = "virtiofsd of qemu-system-common 7.2 (C), defaults"
	peerPath = "/usr/lib/qemu/virtiofsd"
	peerTag  = "peer"
	emulator = "qemu-system-x86_64"
)

// peer is a running virtiofsd, and the QEMU that will use it.
type peer struct {
	cmd *exec.Cmd
}

// startPeer starts virtiofsd on a directory, and puts a QEMU in front of PATH that has a device more: virtiofsd's.
//
// vmm-qemu lets its QEMU connect to nothing but abstract sockets with names of four letters, so this is one.
func startPeer(dir, shared string) (*peer, error) {
	if _, err := os.Stat(peerPath); err != nil {
		return nil, errdef.New(errdef.ErrUnavailable, "there is no virtiofsd: %w", err).WithRemedy("apt-get install qemu-system-common, of Debian 12")
	}
	name := fmt.Sprintf("v%03d", os.Getpid()%1000)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@" + name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer listener.Close() // virtiofsd has its own
	socket, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	if err := wrapEmulator(filepath.Join(dir, "path"), name); err != nil {
		return nil, err
	}
	cmd := exec.Command(peerPath, "-f", "--fd=3", "-o", "source="+shared, "-o", "log_level=warn")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // it has a child, which dies with it
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start virtiofsd: %w", err)
	}
	return &peer{cmd}, nil
}

func (p *peer) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// wrapEmulator makes the program that vmm-qemu finds in PATH. The device is as vmm-qemu makes ours: one queue for requests.
func wrapEmulator(dir, socket string) error {
	real, err := exec.LookPath(emulator)
	if err != nil {
		return err
	}
	script := fmt.Sprintf(`#!/bin/sh
exec %s "$@" -chardev socket,id=peer,path=%s,abstract=on,tight=on \
	-device vhost-user-fs-device,chardev=peer,tag=%s,num-request-queues=1
`, real, socket, peerTag)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, emulator), []byte(script), 0o755); err != nil {
		return err
	}
	return os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
