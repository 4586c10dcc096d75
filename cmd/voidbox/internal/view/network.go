package view

import (
	"fmt"

	"github.com/voidbox-run/voidbox/core/event"
)

// denied says where the guest wanted to go, and what keeps it from that.
func denied(d event.FlowDenied) string {
	text := d.Protocol + " " + d.Destination
	if d.Name != "" {
		text += " (" + d.Name + ")"
	}
	text += " by " + d.Rule
	if d.Times > 1 {
		text += fmt.Sprintf(", %d times by now", d.Times)
	}
	return clean(text)
}

// traffic shows what went through the network, if anything did.
func traffic(t event.Traffic) string {
	if t == (event.Traffic{}) {
		return ""
	}
	text := fmt.Sprintf(" · network %s sent, %s received", size(t.SentBytes), size(t.ReceivedBytes))
	if t.Denied > 0 {
		text += fmt.Sprintf(", %d denied", t.Denied)
	}
	return text
}

// size writes a size with the unit that keeps it short.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/(1<<10), 0
	for f >= 999.95 && unit < len(units)-1 {
		f, unit = f/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[unit])
}
