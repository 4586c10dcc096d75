package pluginhost

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/sdk"
)

// allowedEnv is what every plugin gets of the host's environment: where things are, how people read, whom to trust in TLS.
// Proxies are left out, since their URLs may hold passwords; a plugin that speaks to the internet asks for them by name.
var allowedEnv = []string{
	"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// secretWords mark variables that no plugin gets, whatever it asks for.
var secretWords = []string{"KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "COOKIE", "AUTH", "PRIVATE", "SESSION", "DSN"}

// looksSecret tells whether a variable's name is that of a secret. Secrets reach a plugin through its configuration only,
// where the plan names them.
func looksSecret(name string) bool {
	upper := strings.ToUpper(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(upper, word) })
}

// cleanEnv returns the environment of a plugin that asks for the variables named wanted.
func (h *Host) cleanEnv(plugin string, wanted []string) []string {
	var env []string
	add := func(name string) {
		if value, ok := h.opt.Getenv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range allowedEnv {
		add(name)
	}
	for _, name := range wanted {
		switch {
		case slices.Contains(allowedEnv, name) || strings.ContainsAny(name, "=\x00"):
		case looksSecret(name):
			h.log.Warn("variable withheld: it looks like a secret; hand it over in the plugin's block", "plugin", plugin, "variable", name)
		default:
			add(name)
		}
	}
	return append(env, sdk.EnvLogLevel+"="+h.logLevel())
}

// logLevel is the lowest level that the host's logger shows, so that a plugin does not send what nobody sees.
func (h *Host) logLevel() string {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if h.log.Enabled(context.Background(), level) {
			return strings.ToLower(level.String())
		}
	}
	return "error"
}
