package modelhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Transient is an error that another attempt may mend.
type Transient struct {
	Err       error
	unreached bool // nothing was ever heard of the server
}

func (e *Transient) Error() string { return e.Err.Error() }
func (e *Transient) Unwrap() error { return e.Err }

// StatusError is an answer that is none: its status, and what the provider says about it.
type StatusError struct {
	Provider   string
	Status     int
	Type       string // the provider's name for the error, such as rate_limit_error
	Message    string
	Model      string
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	said := e.Message
	if said == "" {
		said = strings.ToLower(http.StatusText(e.Status))
	}
	if e.Status == 0 {
		return fmt.Sprintf("%s says: %s", e.Provider, said)
	}
	return fmt.Sprintf("%s answers with status %d: %s", e.Provider, e.Status, said)
}

// Statuses that providers use and net/http does not name.
const statusOverloaded = 529

// Temporary tells whether the same request may be answered later.
func (e *StatusError) Temporary() bool {
	if e.spent() || e.tooLarge() {
		return false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, statusOverloaded:
		return true
	}
	return e.Status > 500 && e.Status != http.StatusNotImplemented
}

// spent tells that the account has no money left, which providers report with statuses that mean something else too.
func (e *StatusError) spent() bool {
	return e.Status == http.StatusPaymentRequired || e.Type == "insufficient_quota" || e.Type == "billing_error" ||
		strings.Contains(e.Message, "credit balance is too low")
}

// tooLarge tells that a server of the user's own has no room for the model.
func (e *StatusError) tooLarge() bool { return strings.Contains(e.Message, "more system memory") }

// overflow tells that the conversation is longer than the model can read.
func (e *StatusError) overflow() bool {
	text := strings.ToLower(e.Type + " " + e.Message)
	for _, sign := range []string{"context_length", "context length", "context window", "prompt is too long", "exceeds the available context"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return e.Status == http.StatusRequestEntityTooLarge
}

// final turns the error of the last attempt into one of the contract.
func (c *Client) final(err error, retries int) error {
	tried := ""
	if retries > 0 {
		tried = fmt.Sprintf(" (after %d attempts)", retries+1)
	}
	var status *StatusError
	if errors.As(err, &status) {
		v := status.verdict()
		if c.cfg.Remedy != nil {
			if own := c.cfg.Remedy(status); own != "" {
				v.remedy = own
			}
		}
		return errdef.New(v.kind, "%s%s", c.clean(status.Error()), tried).WithReason(v.reason).WithRemedy("%s", v.remedy)
	}
	var broken *Transient
	if errors.As(err, &broken) {
		remedy := "run it again"
		if broken.unreached {
			remedy = fmt.Sprintf("check that %s is there and that base_url in the llm block is right", c.cfg.Base)
		}
		return errdef.New(errdef.ErrUnavailable, "%s%s", c.clean(broken.Error()), tried).WithReason("provider_unavailable").WithRemedy("%s", remedy)
	}
	return err
}

// verdict is what a caller decides on.
type verdict struct {
	kind           error
	reason, remedy string
}

// verdict sorts a status.
func (e *StatusError) verdict() verdict {
	switch {
	case e.spent():
		return verdict{errdef.ErrExhausted, "account_empty", "pay in at " + e.Provider + ", or use another key"}
	case e.tooLarge():
		return verdict{errdef.ErrExhausted, "model_too_large", "choose a smaller model, a smaller num_ctx, or a machine with more memory"}
	case e.overflow():
		return verdict{errdef.ErrExhausted, "context_too_long", "give the agent a smaller task, a smaller output_limit, or a model with a larger context"}
	case e.Status == http.StatusUnauthorized:
		return verdict{errdef.ErrUnauthenticated, "key_refused", "check the key that api_key in the llm block refers to: it may be mistyped, revoked, or of another provider"}
	case e.Status == http.StatusForbidden:
		return verdict{errdef.ErrPermission, "not_allowed", "the key is known but may not do this: check what it is allowed to use, and whether the provider serves your country"}
	case e.Status == http.StatusNotFound && e.Model != "":
		return verdict{errdef.ErrNotFound, "no_such_model", fmt.Sprintf("check the model's name, %s, and base_url in the llm block", e.Model)}
	case e.Status == http.StatusTooManyRequests:
		remedy := "wait, lower max_parallel of the pipeline, or ask the provider for a higher limit"
		if e.RetryAfter > 0 {
			remedy = fmt.Sprintf("wait %v, as the provider asks; or lower max_parallel of the pipeline", e.RetryAfter.Round(time.Second))
		}
		return verdict{errdef.ErrExhausted, "rate_limited", remedy}
	case e.Temporary():
		return verdict{errdef.ErrUnavailable, "provider_unavailable", "the provider has trouble of its own: run it again later, or choose another model"}
	case e.Status >= 300 && e.Status < 400:
		return verdict{errdef.ErrInvalid, "redirected", "set base_url in the llm block to where the server really is; keys are not sent after redirects"}
	case e.Status == http.StatusNotFound:
		return verdict{errdef.ErrNotFound, "not_found", "check base_url in the llm block"}
	}
	return verdict{errdef.ErrInvalid, "request_refused", "check the model and the arguments of the llm block"}
}

// refused reads an answer that is an error. Providers agree on little: {"error": {"message", "type", "code"}}, {"error": "text"},
// {"message"}, {"detail"}, or plain text.
func (c *Client) refused(resp *http.Response, body io.Reader, model string) error {
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBytes))
	e := &StatusError{Provider: c.cfg.Name, Status: resp.StatusCode, Model: model, RetryAfter: retryAfter(resp.Header)}
	e.Type, e.Message = Problem(text)
	if e.Message == "" {
		e.Message = shorten(strings.Join(strings.Fields(string(text)), " "))
	}
	if to := resp.Header.Get("Location"); to != "" && e.Status < 400 {
		e.Message = "it moved to " + shorten(to)
	}
	return e
}

// Problem finds type and message in an error that a provider describes in JSON.
func Problem(text []byte) (kind, message string) {
	var outer struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(text, &outer) != nil {
		return "", ""
	}
	var inner struct {
		Type    string          `json:"type"`
		Message string          `json:"message"`
		Code    json.RawMessage `json:"code"`
	}
	var plain string
	switch {
	case json.Unmarshal(outer.Error, &plain) == nil:
		return "", shorten(plain)
	case json.Unmarshal(outer.Error, &inner) == nil:
		if json.Unmarshal(inner.Code, &plain) == nil && plain != "" {
			inner.Type = plain // OpenAI's code says more than its type
		}
		return shorten(inner.Type), shorten(inner.Message)
	case outer.Message != "":
		return "", shorten(outer.Message)
	}
	return "", shorten(strings.Trim(string(outer.Detail), `"`))
}

// statuses are those that providers would have sent, had the stream not begun, by type or code of the error.
var statuses = map[string]int{
	"authentication_error": 401, "invalid_api_key": 401, "billing_error": 402, "permission_error": 403, "not_found_error": 404, "model_not_found": 404,
	"request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429, "api_error": 500, "server_error": 500, "timeout_error": 504,
	"overloaded_error": statusOverloaded, "server_is_overloaded": statusOverloaded, "slow_down": statusOverloaded,
}

// EventError reads an error that comes in the middle of a stream, when the status was sent long ago: {"type", "message", "code"}.
func EventError(provider, model string, text json.RawMessage) *StatusError {
	whole, _ := json.Marshal(map[string]json.RawMessage{"error": text})
	e := &StatusError{Provider: provider, Model: model}
	e.Type, e.Message = Problem(whole)
	var numbered struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(text, &numbered) == nil && numbered.Code >= 400 && numbered.Code < 600 {
		e.Status = numbered.Code
	} else {
		e.Status = statuses[e.Type]
	}
	return e
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3), and the milliseconds that OpenAI and Anthropic also send.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 && ms < 1e12 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	value := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(value, 64); err == nil && s >= 0 && s < 1e9 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// clean keeps the credential out of a message.
func (c *Client) clean(message string) string {
	if c.cfg.Secret != "" {
		message = strings.ReplaceAll(message, c.cfg.Secret, "[key]")
	}
	return message
}

func shorten(s string) string {
	const most = 2000
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "") + " ..."
}
