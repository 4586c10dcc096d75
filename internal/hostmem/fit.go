package hostmem

import (
	"fmt"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Reason marks a VM that does not fit into the host's memory.
const Reason = "host_memory"

// Fit returns an error of kind errdef.ErrExhausted when a guest with so many bytes, and the overhead that its monitor takes
// itself, do not fit.
func (h Host) Fit(guest, overhead uint64, monitor string) error {
	available, bound, err := h.Available()
	if err != nil {
		return fmt.Errorf("see how much memory this machine has: %w", err)
	}
	if guest <= available && overhead <= available-guest {
		return nil
	}
	return errdef.New(errdef.ErrExhausted, "a VM with %d MiB does not fit: %s has %d MiB left, and %s itself takes %d",
		guest>>20, bound, available>>20, monitor, overhead>>20).
		WithReason(Reason).WithRemedy("lower memory in the sandbox block, or free some on this machine")
}
