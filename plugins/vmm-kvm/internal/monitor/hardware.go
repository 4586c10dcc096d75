package monitor

import (
	"errors"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// hardware is an empty VM of KVM's, with its interrupt controllers, and what a vCPU of this host can be.
type hardware struct {
	vm    *kvm.VM
	cpuid []kvm.CPUIDEntry2
}

func openHardware() (*hardware, error) {
	system, err := kvm.Open()
	if err != nil {
		return nil, err
	}
	defer system.Close()
	h := &hardware{}
	if h.cpuid, err = system.GetSupportedCPUID(); err != nil {
		return nil, err
	}
	if h.vm, err = system.CreateVM(); err != nil {
		return nil, err
	}
	err = errors.Join(
		h.vm.SetTSSAddr(layout.TSS),
		h.vm.SetIdentityMapAddr(layout.IdentityMapPage),
		h.vm.CreateIRQChip(),
	)
	if err != nil {
		return nil, errors.Join(err, h.vm.Close())
	}
	return h, nil
}

// preparation makes hardware while nobody waits for it: KVM_CREATE_VM can take up to 40 ms, on hosts where it starts a thread
// against a flaw of their CPUs.
type preparation struct {
	done chan struct{}
	hw   *hardware
	err  error
}

func prepare() *preparation {
	p := &preparation{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.hw, p.err = openHardware()
	}()
	return p
}

// take returns the hardware, which is the caller's from then on; to be called once, unless it fails.
func (p *preparation) take() (*hardware, error) {
	<-p.done
	if p.err != nil {
		return nil, errdef.New(errdef.ErrUnavailable, "make a VM: %w", p.err)
	}
	return p.hw, nil
}

// discard closes what nobody took.
func (p *preparation) discard() {
	if hw, err := p.take(); err == nil {
		_ = hw.vm.Close()
	}
}
