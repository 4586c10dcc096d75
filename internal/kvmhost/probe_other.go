//go:build !linux

package kvmhost

import (
	"errors"
	"os"
)

func probeDevice(*os.File) error { return errors.New("KVM exists on Linux only") }
