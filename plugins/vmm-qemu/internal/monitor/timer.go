package monitor

import (
	"context"
	"log/slog"
	"strings"
)

// A guest whose vCPU thread is not scheduled for a tenth of a second at the wrong moment finds its only timer useless, and
// sleeps for ever once it waits for anything (Linux 6.1, arch/x86/kernel/apic/apic.c, calibrate_APIC_clock: a polling loop over
// two clocks that both go on meanwhile). On a busy host that is about one boot of a hundred (measured). The kernel says so in
// time; the machine is then reset before its init has started, at the cost of the fraction of a second that it ran.
const (
	timerLostMark = "APIC frequency too slow, disabling apic timer"
	startedMark   = "voidbox: stage " // the agent's first words
	maxRestarts   = 5                 // of one VM; by then the reason must be another
)

// onTimerLine resets a machine that has lost its timer. After the agent's first words nobody in the guest can ask for that.
func (v *vm) onTimerLine(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if strings.HasPrefix(line, startedMark) {
		v.restarts = maxRestarts
	}
	if v.restarts == maxRestarts || v.qmp == nil || !strings.Contains(line, timerLostMark) {
		return
	}
	v.restarts++
	slog.Info("the guest has lost its timer while it booted; it is reset", "restart", v.restarts)
	client := v.qmp
	v.served.Go(func() {
		v.resetting.Lock() // one reset after the other: their steps must not mix
		defer v.resetting.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
		defer cancel()
		// The reset is decided when it is asked for, so the guest's own resets end the machine again as soon as this returns.
		for _, step := range []struct {
			command   string
			arguments any
		}{
			{"set-action", map[string]string{"reboot": "reset"}},
			{"system_reset", nil},
			{"set-action", map[string]string{"reboot": "shutdown"}},
		} {
			if err := client.Do(ctx, step.command, step.arguments, nil); err != nil {
				slog.Warn("reset a guest without a timer", "command", step.command, "error", err)
				return
			}
		}
	})
}
