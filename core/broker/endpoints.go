package broker

import (
	"net/http"
	"path"
	"strings"
)

// endpoint is a call of a model API.
type endpoint struct {
	method string
	path   string // below the base URL, without a leading /v1
	bills  bool   // answers are paid by the token
}

// endpoints are all that a guest may ask for. A key may open much more: files, batches, fine-tuning, the organization's members.
var endpoints = []endpoint{
	// Anthropic's Messages API, and Ollama's likeness of it.
	{http.MethodPost, "/messages", true},
	{http.MethodPost, "/messages/count_tokens", false},
	// OpenAI's Chat Completions and Responses, and their many likenesses.
	{http.MethodPost, "/chat/completions", true},
	{http.MethodPost, "/responses", true},
	{http.MethodPost, "/responses/compact", true},
	// Ollama's own.
	{http.MethodPost, "/api/chat", true},
	{http.MethodPost, "/api/show", false},
	{http.MethodGet, "/api/tags", false},
	{http.MethodGet, "/api/version", false},
	// Which models there are.
	{http.MethodGet, "/models", false},
	{http.MethodGet, "/models/*", false},
}

// findEndpoint returns the call that a request asks for. A path that is not what it seems, with "..", doubled or encoded slashes,
// is none.
func findEndpoint(r *http.Request) (endpoint, bool) {
	p := r.URL.Path
	if r.URL.RawPath != "" || path.Clean(p) != p {
		return endpoint{}, false
	}
	p = strings.TrimPrefix(p, "/v1")
	for _, e := range endpoints {
		if ok, _ := path.Match(e.path, p); ok && e.method == r.Method {
			return e, true
		}
	}
	return endpoint{}, false
}
