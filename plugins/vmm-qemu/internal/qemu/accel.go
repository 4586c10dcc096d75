package qemu

import (
	"errors"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Accelerators.
const (
	Auto = "auto"
	KVM  = "kvm"
	HVF  = "hvf"
	TCG  = "tcg" // plain emulation, works everywhere
)

// Choose returns the accelerator for wanted, which is one of the above or "". Auto takes hardware virtualization where it is
// usable and emulation elsewhere; a name that cannot be had is an error that says why.
func Choose(wanted string) (string, error) { return choose(wanted, hardware) }

// hardwareFunc tells which hardware accelerator this system has, and nil or why it cannot be used.
type hardwareFunc func() (name string, problem error)

func choose(wanted string, hardware hardwareFunc) (string, error) {
	if wanted == TCG {
		return TCG, nil
	}
	name, problem := hardware()
	switch wanted {
	case "", Auto:
		if problem != nil {
			return TCG, nil
		}
		return name, nil
	case KVM, HVF:
		if wanted != name {
			return "", unusable(wanted, errors.New("this system has none"), "")
		}
		if problem != nil {
			return "", unusable(wanted, problem, remedyOf(problem))
		}
		return name, nil
	}
	return "", errdef.New(errdef.ErrInvalid, "accelerator %q is none of auto, kvm, hvf, tcg", wanted)
}

func unusable(name string, why error, remedy string) error {
	if remedy != "" {
		remedy += "; or "
	}
	return errdef.New(errdef.ErrUnavailable, "accelerator %s cannot be used: %w", name, why).
		WithReason(ReasonAccelerator).
		WithRemedy(`%suse accelerator = "auto", which falls back to emulation`, remedy)
}
