package view

import "github.com/voidbox-run/voidbox/core/event"

// keyUse says what a key was asked for.
func keyUse(u event.KeyUse) string {
	text := u.For
	if u.User != "" {
		text += " as " + u.User
	}
	if u.Host != "" {
		text += " at " + u.Host
	}
	if u.Key != "" {
		text += " with key " + u.Key
	} else if u.Fingerprint != "" {
		text += " with key " + u.Fingerprint
	}
	return clean(text)
}
