package kvm

import "fmt"

// GetMSRs is KVM_GET_MSRS: it fills the Data of entries. It returns how many were read; the one after them is one that this vCPU
// does not have.
func (c *VCPU) GetMSRs(entries []MSREntry) (int, error) {
	return c.msrs(kvmGetMSRs, entries)
}

// SetMSRs is KVM_SET_MSRS. It returns how many were written; the one after them, with this value, is one that the vCPU refused.
func (c *VCPU) SetMSRs(entries []MSREntry) (int, error) {
	return c.msrs(kvmSetMSRs, entries)
}

// msrs makes as many requests as entries needs.
func (c *VCPU) msrs(req request, entries []MSREntry) (int, error) {
	done := 0
	for done < len(entries) {
		arg := new(msrs)
		arg.Count = uint32(copy(arg.Entries[:], entries[done:]))
		n, err := ioctlCount(c.fd, req, arg)
		if err != nil {
			return done, err
		}
		if n > int(arg.Count) {
			return done, fmt.Errorf("%s: %d of %d entries", req.name, n, arg.Count)
		}
		done += copy(entries[done:], arg.Entries[:n])
		if n < int(arg.Count) {
			break
		}
	}
	return done, nil
}
