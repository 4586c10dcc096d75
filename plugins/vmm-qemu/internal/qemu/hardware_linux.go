package qemu

import (
	"errors"

	"github.com/voidbox-run/voidbox/internal/kvmhost"
)

func hardware() (string, error) { return KVM, kvmhost.Local().Check() }

func remedyOf(problem error) string {
	var p *kvmhost.Problem
	if errors.As(problem, &p) {
		return p.Remedy
	}
	return ""
}
