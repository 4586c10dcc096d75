package modelhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// Env names the variables that a plugin with a client needs of the host: proxies, and where certificates lie.
var Env = []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

const maxRetries = 20

// Arguments are those that the block of every provider has. A plugin embeds them in its own.
type Arguments struct {
	APIKey      string            `json:"api_key"`
	BaseURL     string            `json:"base_url"`
	MaxTokens   int               `json:"max_tokens"`   // of one turn; 0 means the provider's limit
	MaxRetries  *int              `json:"max_retries"`  // nil means DefaultRetries
	IdleTimeout string            `json:"idle_timeout"` // empty means DefaultIdle
	Command     string            `json:"command"`      // of the command-line agent
	CLIEnv      map[string]string `json:"cli_env"`
}

// Check finds what is wrong with them, but for base_url and a key that is missing: both are the provider's own affair.
func (a Arguments) Check() (diags base.Diagnostics) {
	if err := CheckKey(a.APIKey); err != nil {
		diags = append(diags, Wrong("api_key", "Invalid key", err.Error()))
	}
	if a.MaxTokens < 0 {
		diags = append(diags, Wrong("max_tokens", "Invalid limit", "max_tokens must be 1 or more."))
	}
	if n := a.MaxRetries; n != nil && (*n < 0 || *n > maxRetries) {
		diags = append(diags, Wrong("max_retries", "Invalid value", fmt.Sprintf("max_retries must be between 0 and %d, not %d", maxRetries, *n)))
	}
	if _, err := a.idle(); err != nil {
		diags = append(diags, Wrong("idle_timeout", "Invalid value", err.Error()))
	}
	return diags
}

// Wrong blames an argument.
func Wrong(argument, summary, detail string) base.Diagnostic {
	return base.Diagnostic{Severity: base.Error, Summary: summary, Detail: detail, Path: []string{argument}}
}

// Client makes the client that the arguments, which have been checked, ask for. backoff is of tests; 0 means the usual one.
func (a Arguments) Client(name, url string, header http.Header, backoff time.Duration) *Client {
	idle, _ := a.idle()
	retries := DefaultRetries
	if a.MaxRetries != nil {
		retries = *a.MaxRetries
	}
	return New(Config{Name: name, Base: url, Header: header, Secret: a.APIKey, Retries: retries, Idle: idle, Backoff: backoff})
}

func (a Arguments) idle() (time.Duration, error) {
	if a.IdleTimeout == "" {
		return DefaultIdle, nil
	}
	d, err := time.ParseDuration(a.IdleTimeout)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("idle_timeout must be a time such as 90s or 5m, not %q", a.IdleTimeout)
	}
	return d, nil
}

// CheckKey finds keys that cannot stand in a header, such as one with the newline of the file it was copied from.
func CheckKey(key string) error {
	if strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return errors.New("the key holds white space or characters that no key has; look at the variable or file that its secret names")
	}
	return nil
}

// NoKey says what to do about a missing key.
func NoKey(variable, secret string) string {
	return fmt.Sprintf("The argument api_key is missing, and no other place is looked at: not %[1]s of the environment, no login of a "+
		"command-line agent. Write api_key = secret.%[2]s, and beside the llm block: secret %[2]q { env = %[1]q }.", variable, secret)
}
