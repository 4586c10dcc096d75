//go:build linux

package shares

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/jail"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/sharefs"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// openMounts opens what the mounts name.
func openMounts(mounts []share.Mount) ([]sharefs.Mount, error) {
	var opened []sharefs.Mount
	for _, m := range mounts {
		o, err := openMount(m)
		if err != nil {
			closeMounts(opened)
			return nil, err
		}
		opened = append(opened, o)
	}
	return opened, nil
}

func openMount(m share.Mount) (sharefs.Mount, error) {
	o := sharefs.Mount{Tag: m.Tag, ReadOnly: m.Mode == share.ReadOnly, Always: m.Cache == share.CacheAlways, Lower: -1}
	if m.IDMap != nil {
		ids := sharefs.IDs(*m.IDMap)
		o.IDs = &ids
	}
	var err error
	if o.Root, err = openRoot(m.HostPath); err != nil {
		return o, err
	}
	if m.Mode != share.Overlay {
		return o, nil
	}
	o.Lower = o.Root
	if o.Root, err = openUpper(m.UpperPath); err != nil {
		_ = unix.Close(o.Lower)
		return o, err
	}
	return o, nil
}

// openRoot opens a directory or a regular file.
func openRoot(path string) (int, error) {
	fd, err := hostfs.Root(path)
	switch {
	case errors.Is(err, unix.ENOENT):
		return -1, errdef.New(errdef.ErrNotFound, "mount: %s does not exist", path).WithRemedy("make it, or name another source")
	case err != nil:
		return -1, errdef.New(errdef.ErrInvalid, "mount: open %s: %w", path, err)
	}
	var st hostfs.Stat
	if err := hostfs.StatFD(fd, &st); err != nil {
		_ = unix.Close(fd)
		return -1, errdef.New(errdef.ErrInvalid, "mount: %s: %w", path, err)
	}
	if kind := uint32(st.Mode) & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFREG {
		_ = unix.Close(fd)
		return -1, errdef.New(errdef.ErrInvalid, "mount: %s is neither a directory nor a regular file", path)
	}
	return fd, nil
}

// openUpper opens the upper directory of an overlay.
func openUpper(path string) (int, error) {
	fd, err := openRoot(path)
	if err != nil {
		return -1, err
	}
	if err := sharefs.CheckUpper(fd); err != nil {
		_ = unix.Close(fd)
		return -1, errdef.New(errdef.ErrInvalid, "mount: upper directory %s: %w", path, err).
			WithRemedy("keep it on a file system with extended attributes of users, such as ext4, xfs, btrfs or tmpfs of Linux 6.6")
	}
	return fd, nil
}

func closeMounts(mounts []sharefs.Mount) {
	for _, m := range mounts {
		_ = unix.Close(m.Root)
		if m.Lower >= 0 {
			_ = unix.Close(m.Lower)
		}
	}
}

// grants are what the process keeps.
func grants(runtimeDir string, mounts []sharefs.Mount, descriptors int) jail.Grants {
	g := jail.Grants{Sockets: []string{runtimeDir}, Files: uint64(descriptors)}
	for _, m := range mounts {
		if m.ReadOnly {
			g.Read = append(g.Read, m.Root)
			continue
		}
		g.Write = append(g.Write, m.Root)
		if m.Lower >= 0 {
			g.Read = append(g.Read, m.Lower)
		}
	}
	return g
}

// Descriptors of this process: some for itself, most for what the guest has open.
const (
	mostDescriptors  = 1 << 20
	ownDescriptors   = 256
	mostPaths        = 16 << 10
	pathShare        = 8 // one in so many of them is for nodes
	mostNodes        = 2 << 20
	fewestDescriptor = 1024
)

// raiseLimit takes as many descriptors as the system gives.
func raiseLimit() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	r.Max = min(r.Max, mostDescriptors)
	r.Cur = r.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	if r.Cur < fewestDescriptor {
		return 0, errdef.New(errdef.ErrUnavailable, "a share needs %d open files, and the limit is %d", fewestDescriptor, r.Cur).
			WithRemedy("raise the hard limit of open files, for example by ulimit -Hn")
	}
	return int(r.Cur), nil
}

func limits(descriptors int) sharefs.Limits {
	free := descriptors - ownDescriptors
	paths := min(free/pathShare, mostPaths)
	return sharefs.Limits{Descriptors: paths, Handles: free - paths - paths/2, Nodes: mostNodes}
}
