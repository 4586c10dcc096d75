//go:build unix && !linux

package image

import (
	"io/fs"
	"os"
	"syscall"
)

// sparse is a file whose holes nobody makes.
type sparse struct{ *os.File }

// usedBytes is what a file takes of its disk.
func usedBytes(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }

func changeTime(st *syscall.Stat_t) int64 { return st.Ctimespec.Nano() }
