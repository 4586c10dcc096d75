//go:build !linux && !darwin

package qemu

import "errors"

func hardware() (string, error) { return "", errors.New("no accelerator is known for this system") }

func remedyOf(error) string { return "" }
