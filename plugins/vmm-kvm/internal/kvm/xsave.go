package kvm

import "fmt"

// XSAVESize returns the size of a vCPU's extended state on this host: 4096, or what KVM_CAP_XSAVE2 says, which is more only where
// the process has asked for dynamic features such as AMX.
func (v *VM) XSAVESize() (int, error) {
	n, err := v.CheckExtension(CapXSAVE2)
	if err != nil {
		return 0, err
	}
	return max(n, xsaveSize), nil
}

const xsaveSize = 4096

// GetXSAVE is KVM_GET_XSAVE2, or KVM_GET_XSAVE on a kernel without it; size is what XSAVESize returned.
func (c *VCPU) GetXSAVE(size int) ([]byte, error) {
	state := make([]byte, max(size, xsaveSize))
	req := kvmGetXSAVE
	if size > xsaveSize {
		req = kvmGetXSAVE2
	}
	return state, ioctl(c.fd, req, &state[0])
}

// SetXSAVE is KVM_SET_XSAVE; size is what XSAVESize returned, and state must have that many bytes, since the kernel reads as many.
func (c *VCPU) SetXSAVE(state []byte, size int) error {
	if len(state) < max(size, xsaveSize) {
		return fmt.Errorf("KVM_SET_XSAVE: %d bytes of state, this host wants %d", len(state), max(size, xsaveSize))
	}
	return ioctl(c.fd, kvmSetXSAVE, &state[0])
}
