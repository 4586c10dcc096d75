package vcpu

import (
	"sync/atomic"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// maxReasons bounds the exit reasons that are counted apart; others are counted as the last one.
const maxReasons = 64

// counters count a vCPU's exits. Only its thread writes them.
type counters struct {
	reasons     [maxReasons]atomic.Uint64
	interrupted atomic.Uint64
}

func (c *counters) count(r kvm.ExitReason) { c.reasons[min(r, maxReasons-1)].Add(1) }

// Counters returns the exits of all vCPUs by reason, as "exits.<reason>", and their sum, "exits". Returns of KVM_RUN that are no
// exits, because of kicks and other signals, are "interrupted".
func (s *Set) Counters() map[string]uint64 {
	m := map[string]uint64{"exits": 0, "interrupted": 0}
	for _, t := range s.threads {
		for r := range t.exits.reasons {
			if n := t.exits.reasons[r].Load(); n > 0 {
				m["exits."+kvm.ExitReason(r).String()] += n
				m["exits"] += n
			}
		}
		m["interrupted"] += t.exits.interrupted.Load()
	}
	return m
}
