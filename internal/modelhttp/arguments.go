package modelhttp

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Env names the variables that a plugin with a client needs of the host: proxies, and where certificates lie.
var Env = []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

const maxRetries = 20

// CheckRetries checks the argument max_retries, nil meaning that it is not given.
func CheckRetries(n *int) error {
	if n != nil && (*n < 0 || *n > maxRetries) {
		return fmt.Errorf("max_retries must be between 0 and %d, not %d", maxRetries, *n)
	}
	return nil
}

// Retries is the argument max_retries or its default.
func Retries(n *int) int {
	if n == nil {
		return DefaultRetries
	}
	return *n
}

// ParseIdle reads the argument idle_timeout; empty means the default.
func ParseIdle(s string) (time.Duration, error) {
	if s == "" {
		return DefaultIdle, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("idle_timeout must be a time such as 90s or 5m, not %q", s)
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
